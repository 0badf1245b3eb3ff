"""What losses of one position share: shapes, masks, sample weights, reductions, dtypes."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import uniform

from keras_distill import losses

# What the base class does is the same for all: one between features, one between outputs, one
# with parts that train.
REPRESENTATIVES = [losses.FeatureMSE, losses.SoftTargetKL, losses.VariationalInformation]

every_loss = pytest.mark.parametrize("loss_class", REPRESENTATIVES)


def masked(tensor, mask):
    """`tensor` as Keras's layers hand it on."""
    tensor = tf.convert_to_tensor(tensor)
    tensor._keras_mask = tf.constant(mask)
    return tensor


class TestShapes:
    @pytest.mark.parametrize(
        ("teacher", "student"),
        [
            ((8,), (8,)),
            ((2, 1), (2, 8)),
            ((2, 8), (2, 1)),
            ((1, 8), (4, 8)),
            ((4, 8), (1, 8)),
            ((2, 1, 8), (2, 5, 8)),
            ((2, 8), (2, 5, 8)),
            ((5, 8), (2, 5, 8)),
            ((2, 3, 3, 8), (2, 3, 4, 8)),
        ],
    )
    @every_loss
    def test_nothing_is_broadcast(self, loss_class, teacher, student):
        """1 against 8 would give a number, and a wrong one."""
        message = rf"{loss_class.__name__} compares a teacher and a student of one shape.*Received"
        with pytest.raises(ValueError, match=message) as error:
            loss_class()(np.ones(teacher), np.ones(student))
        assert f"teacher {teacher}, student {student}" in str(error.value)

    def test_message_tells_the_remedy(self):
        """Outputs need the same classes; hidden layers a projector."""
        for loss, remedy in (
            (losses.SoftTargetKL(), "same classes in the same order"),
            (losses.FeatureMSE(), "Give the objective a projector"),
        ):
            with pytest.raises(ValueError, match=remedy):
                loss(np.ones((2, 3)), np.ones((2, 4)))

    @every_loss
    def test_unknown_sizes_are_not_a_mismatch(self, loss_class):
        """fit() traces with a batch size of None."""
        spec = tf.TensorSpec((None, None, 4))
        traced = tf.function(loss_class(), input_signature=[spec, spec])
        teacher, student = uniform(5.0, (2, 3, 4))
        assert float(traced(teacher, student)) == pytest.approx(
            float(loss_class()(teacher, student)), rel=1e-6
        )

    @pytest.mark.parametrize("teacher", [(8, 4), (None, 4)])
    @pytest.mark.parametrize("student", [(8, 4), (None, 4)])
    def test_only_one_model_knows_the_batch_size(self, teacher, student):
        """A teacher with a fixed batch size, as from a file, must not break the trace."""
        specs = [tf.TensorSpec(teacher), tf.TensorSpec(student)]
        traced = tf.function(losses.SoftTargetKL(), input_signature=specs)
        logits, _ = uniform(5.0, (8, 4))
        assert float(traced(logits, logits)) == 0

    @every_loss
    def test_known_sizes_are_checked_in_a_graph(self, loss_class):
        """The classes are known even if the batch size is not."""
        specs = [tf.TensorSpec((None, 5)), tf.TensorSpec((None, 4))]
        with pytest.raises(ValueError, match=r"student \("):
            tf.function(loss_class(), input_signature=specs).get_concrete_function()

    @pytest.mark.parametrize("jit_compile", [False, True])
    @pytest.mark.parametrize("loss_class", [losses.SoftTargetKL, losses.FeatureMSE])
    def test_nothing_is_broadcast_at_run_time(self, loss_class, jit_compile):
        """The graph does not know the batch size: 1 against 8 only shows with the values."""
        spec = tf.TensorSpec((None, 4))
        loss = tf.function(loss_class(), input_signature=[spec, spec], jit_compile=jit_compile)
        teacher, student = uniform(5.0, (8, 4))
        assert np.isfinite(loss(teacher, student))
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            loss(teacher[:1], student)

    @every_loss
    def test_student_outputs_may_be_lists(self, loss_class):
        """As for every Keras loss."""
        teacher, student = uniform(5.0, (3, 4))
        expected = float(loss_class()(teacher, student))
        assert float(loss_class()(teacher.tolist(), student.tolist())) == pytest.approx(expected)

    @every_loss
    def test_empty_batch_counts_zero(self, loss_class):
        """A replica gets one if the last batch is smaller than the number of replicas."""
        spec, loss = tf.TensorSpec((None, 4)), loss_class()

        @tf.function(input_signature=[spec, spec])
        def value_and_gradient(teacher, student):
            with tf.GradientTape() as tape:
                tape.watch(student)
                value = loss(teacher, student)
            return value, tape.gradient(value, student)

        value, gradient = value_and_gradient(tf.zeros((0, 4)), tf.zeros((0, 4)))
        assert float(value) == 0
        assert gradient.shape == (0, 4)


class TestTeacher:
    @every_loss
    def test_gets_no_gradient(self, loss_class):
        """A loss that may move the teacher pulls both models together, to nothing."""
        teacher, student = (tf.Variable(z) for z in uniform(5.0, (4, 6)))
        with tf.GradientTape() as tape:
            value = loss_class()(teacher, student)
        gradients = tape.gradient(value, [teacher, student])
        assert gradients[0] is None
        assert np.any(gradients[1])

    @every_loss
    def test_may_be_of_another_dtype(self, loss_class):
        """A float16 teacher store against a float32 student, or float64 arrays."""
        teacher, student = uniform(5.0, (4, 6))
        half = tf.cast(teacher, "float16")
        expected = loss_class()(tf.cast(half, "float64"), student)
        assert expected.dtype == "float32"
        assert float(loss_class()(half, student)) == pytest.approx(float(expected), rel=1e-6)


class TestMasks:
    """Padding that counts makes short texts weigh less, and nobody sees it."""

    IDS = np.array([[3, 1, 2, 0, 0], [1, 0, 0, 0, 0], [4, 2, 1, 3, 1]])

    @pytest.mark.parametrize("jit_compile", [None, False, True])
    @every_loss
    def test_embedding_mask_of_tokens(self, loss_class, jit_compile):
        """Rank 3: the loss of the real tokens alone."""
        embedding = keras.layers.Embedding(5, 6, mask_zero=True)
        teacher = uniform(5.0, (3, 5, 6))[0]
        loss = loss_class()
        embedding(self.IDS)

        def of_ids(ids):
            return loss(teacher, embedding(ids))

        if jit_compile is not None:
            of_ids = tf.function(of_ids, jit_compile=jit_compile)
        kept = self.IDS > 0
        expected = loss_class()(teacher[kept], embedding(self.IDS).numpy()[kept])
        value = of_ids(tf.constant(self.IDS))
        assert float(value) == pytest.approx(float(expected), rel=1e-5)

    @every_loss
    def test_masking_layer_on_examples(self, loss_class):
        """Rank 2: whole examples are left out."""
        teacher, student = uniform(5.0, (4, 6))
        student[1] = 0
        kept = [0, 2, 3]
        value = loss_class()(teacher, keras.layers.Masking()(student))
        expected = loss_class()(teacher[kept], student[kept])
        assert float(value) == pytest.approx(float(expected), rel=1e-5)

    @every_loss
    def test_embedding_mask_of_a_dense_output(self, loss_class):
        """Rank 4: (batch, height, width, classes)."""
        ids = np.array([[[1, 0, 2], [0, 3, 4]], [[2, 2, 0], [1, 0, 0]]])
        student = keras.layers.Embedding(5, 6, mask_zero=True)(ids)
        teacher = uniform(5.0, (2, 2, 3, 6))[0]
        value = loss_class()(teacher, student)
        expected = loss_class()(teacher[ids > 0], student.numpy()[ids > 0])
        assert float(value) == pytest.approx(float(expected), rel=1e-5)

    @pytest.mark.parametrize("shape", [(3, 5, 2, 6), (5, 5, 5, 6)])
    @every_loss
    def test_mask_of_fewer_axes(self, loss_class, shape):
        """Of tokens that have several heads: with equal sizes it would be that of the heads."""
        teacher, student = uniform(5.0, shape)
        mask = np.random.default_rng(0).random(shape[:2]) < 0.6
        value = loss_class()(teacher, masked(student, mask))
        expected = loss_class()(teacher[mask], student[mask])
        assert float(value) == pytest.approx(float(expected), rel=1e-5)
        weights = np.random.default_rng(1).random(shape[:3]).astype("float32")
        value = loss_class(reduction="sum")(teacher, masked(student, mask), weights)
        expected = loss_class(reduction="sum")(teacher[mask], student[mask], weights[mask])
        assert float(value) == pytest.approx(float(expected), rel=1e-5)

    @every_loss
    def test_masked_items_get_no_gradient(self, loss_class):
        """Not even a small one."""
        # Small: activations beyond their teacher's boundaries get none either.
        teacher, student = (tf.constant(z) for z in uniform(1.0, (3, 5, 6)))
        kept = self.IDS > 0
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = loss_class()(teacher, masked(tf.identity(student), kept))
        gradient = tape.gradient(value, student).numpy()
        assert not gradient[~kept].any()
        assert gradient[kept].any(axis=-1).all()

    @every_loss
    def test_mask_with_sample_weights(self, loss_class):
        """Keras's semantics: the weighted sum over the number of unmasked items."""
        teacher, student = uniform(5.0, (3, 5, 6))
        kept = self.IDS > 0
        weights = np.linspace(0.5, 2.0, 15).reshape(3, 5)
        values = loss_class(reduction=None)(teacher, student).numpy()
        expected = np.sum((values * weights)[kept]) / kept.sum()
        value = loss_class()(teacher, masked(student, kept), weights)
        assert float(value) == pytest.approx(expected, rel=1e-5)

    @every_loss
    def test_everything_masked(self, loss_class):
        """A batch of padding: 0, not 0 / 0."""
        teacher, student = uniform(5.0, (3, 5, 6))
        assert float(loss_class()(teacher, masked(student, np.zeros((3, 5), bool)))) == 0


REDUCTIONS = {
    None: lambda values, weights: values * weights,
    "none": lambda values, weights: values * weights,
    "sum": lambda values, weights: np.sum(values * weights),
    "sum_over_batch_size": lambda values, weights: np.mean(values * weights),
    "mean": lambda values, weights: np.mean(values * weights),
    "mean_with_sample_weight": lambda values, weights: np.sum(values * weights) / np.sum(weights),
}


class TestSampleWeights:
    @pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4), (2, 3, 2, 4)])
    @pytest.mark.parametrize("reduction", REDUCTIONS)
    @every_loss
    def test_reductions(self, loss_class, reduction, shape):
        """A mean over the sum of the weights instead of the batch changes the step size."""
        teacher, student = uniform(5.0, shape)
        weights = np.linspace(0.0, 2.0, np.prod(shape[:-1])).reshape(shape[:-1])
        values = loss_class(reduction=None)(teacher, student).numpy()
        for given, factors in ((None, np.ones(shape[:-1])), (weights, weights)):
            value = loss_class(reduction=reduction)(teacher, student, given)
            expected = REDUCTIONS[reduction](values, factors)
            np.testing.assert_allclose(value, expected, rtol=1e-5)

    @pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4), (2, 3, 2, 4)])
    @every_loss
    def test_zero_weight_leaves_an_item_out(self, loss_class, shape):
        """Equal to the loss of the kept items alone."""
        teacher, student = uniform(5.0, shape)
        kept = np.arange(np.prod(shape[:-1])).reshape(shape[:-1]) % 3 > 0
        value = loss_class(reduction="mean_with_sample_weight")(teacher, student, 1.0 * kept)
        expected = loss_class()(teacher[kept], student[kept])
        assert float(value) == pytest.approx(float(expected), rel=1e-5)

    @pytest.mark.parametrize("reduction", [r for r in REDUCTIONS if r != "none"])
    @pytest.mark.parametrize("weights", [(6,), (6, 1)], ids=str)
    def test_weights_per_example_as_in_keras(self, weights, reduction):
        """The oracle is keras.losses.MeanSquaredError, the same formula in another's code."""
        teacher, student = uniform(5.0, (6, 4))
        weights = np.linspace(0.1, 2.0, 6).reshape(weights)
        value = losses.FeatureMSE(reduction=reduction)(teacher, student, weights)
        expected = keras.losses.MeanSquaredError(reduction)(teacher, student, weights)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


class TestConfig:
    @pytest.mark.parametrize(
        "arguments", [{}, {"name": "mine", "reduction": "sum", "dtype": "float64"}], ids=len
    )
    @every_loss
    def test_round_trip(self, loss_class, arguments):
        """A reloaded Distiller must not go on with another loss than it was saved with."""
        loss = loss_class(**arguments)
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
        restored = keras.saving.deserialize_keras_object(config)
        assert type(restored) is loss_class
        assert restored.get_config() == loss.get_config()
        assert (restored.name, restored.dtype) == (loss.name, loss.dtype)
        teacher, student = uniform(5.0, (4, 6))
        assert float(restored(teacher, student)) == float(loss(teacher, student))

    @every_loss
    def test_name_and_reduction(self, loss_class):
        """The name is the entry in the history; an unknown reduction is Keras's to refuse."""
        assert loss_class().name in (
            "soft_target_kl",
            "binary_soft_targets",
            "logits_mse",
            "feature_mse",
            "feature_cosine",
            "activation_boundaries",
            "feature_overhaul",
            "variational_information",
        )
        assert loss_class(name="mine").name == "mine"
        with pytest.raises(ValueError, match="reduction"):
            loss_class(reduction="average")

    @every_loss
    def test_dtype_policy_does_not_reach_the_computation(self, loss_class):
        """Under mixed precision Keras's losses may run in half; these must not."""
        keras.config.set_dtype_policy("mixed_float16")
        try:
            loss = loss_class()
        finally:
            keras.config.set_dtype_policy("float32")
        assert loss.dtype == "float32"
        assert loss(*uniform(5.0, (4, 6))).dtype == "float32"


@every_loss
def test_features_are_the_last_axis(loss_class):
    """Values for each token, not one that mixes the tokens."""
    teacher, student = uniform(5.0, (3, 5, 6))
    values = loss_class(reduction=None)(teacher, student)
    assert values.shape == (3, 5)
    flat = loss_class(reduction=None)(teacher.reshape(15, 6), student.reshape(15, 6))
    np.testing.assert_allclose(np.ravel(values), flat, rtol=1e-6)


class WithLayer(losses.FeatureMSE):
    """One that reads a batch's labels and training, and has a trained part."""

    needs = ("labels", "training")

    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Dense(3)


def test_a_copy_has_the_layers_and_the_batch_of_its_loss():
    """With layers of its own they would never train; each copy must keep what others gave."""
    loss = WithLayer()
    labels = np.arange(3)
    copied = loss.for_batch(labels=labels, training=True).with_settings(reduction="sum")
    assert copied.layer is loss.layer
    assert copied.labels is labels
    assert copied.training
    assert copied.reduction == "sum"
    assert (loss.labels, loss.training, loss.reduction) == (None, False, "sum_over_batch_size")
