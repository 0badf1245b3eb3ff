"""Objectives: shapes that fit or an error, masks, projectors, saving."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_distill import Objective
from keras_distill.distillation.objective import check_objectives
from keras_distill.losses import DIST
from keras_distill.losses import BinarySoftTargets
from keras_distill.losses import FeatureCosine
from keras_distill.losses import FeatureMSE
from keras_distill.losses import LogitsMSE
from keras_distill.losses import MaskedGenerative

layers = keras.layers


def features(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def objective(loss=None, **kwargs):
    """An objective between two paths that a message can be searched for."""
    return Objective(
        loss or FeatureMSE(), teacher_layer="t/block", student_layer="s/block", **kwargs
    )


def mse(teacher, student):
    return float(np.mean((np.asarray(teacher, "float64") - np.asarray(student, "float64")) ** 2))


@keras.saving.register_keras_serializable(package="tests")
class LearnedDistance(keras.losses.Loss):
    """A loss with a layer and a variable of its own, which are built at the first call."""

    def __init__(self, name="learned_distance", reduction="sum_over_batch_size"):
        super().__init__(name=name, reduction=reduction)
        self.embedding = layers.Dense(3, use_bias=False)
        self.scale = keras.Variable(2.0, name="scale")

    def call(self, y_true, y_pred):
        difference = self.embedding(y_true) - self.embedding(y_pred)
        return self.scale * keras.ops.mean(keras.ops.square(difference), axis=-1)


@keras.saving.register_keras_serializable(package="tests")
class Relations(keras.losses.Loss):
    """Compares the examples' products: the widths of both models do not matter."""

    same_shapes = False

    def call(self, y_true, y_pred):
        teacher, student = (z @ keras.ops.transpose(z) for z in (y_true, y_pred))
        return keras.ops.mean(keras.ops.square(teacher - student), axis=-1)


class TestWithoutProjector:
    @pytest.mark.parametrize("shape", [(4, 6), (4, 3, 6), (2, 3, 3, 6)])
    @pytest.mark.parametrize("projector", [None, "auto"])
    def test_equal_shapes(self, projector, shape):
        """Equal widths need no projector: "auto" must not add weights then."""
        teacher, student = features(*shape), features(*shape, seed=1)
        hint = objective(projector=projector)
        assert float(hint(teacher, student)) == pytest.approx(mse(teacher, student), rel=1e-5)
        assert hint.projector is None
        assert hint.weights == []

    @pytest.mark.parametrize(
        "loss", [FeatureMSE(), FeatureCosine(), keras.losses.MeanSquaredError()], ids=type
    )
    @pytest.mark.parametrize(
        ("teacher", "student"),
        [
            ((4, 8), (4, 1)),
            ((4, 1), (4, 8)),
            ((4, 5, 8), (4, 1, 8)),
            ((4, 8), (4, 6)),
            ((4, 5, 8), (4, 8)),
            ((2, 4, 4, 8), (2, 2, 2, 8)),
        ],
    )
    def test_nothing_is_broadcast(self, teacher, student, loss):
        """Keras's own losses broadcast 1 against 8 without a word."""
        with pytest.raises(ValueError, match="they must be equal") as error:
            objective(loss, name="hint")(features(*teacher), features(*student))
        message = str(error.value)
        shapes = [str((None, *shape[1:])) for shape in (teacher, student)]
        assert message.startswith("Objective 'hint': ")
        assert f"the teacher's 't/block' has shape {shapes[0]}" in message
        assert f"the student's 's/block' {shapes[1]};" in message

    @pytest.mark.parametrize(
        ("teacher", "student", "remedy"),
        [
            ((4, 8), (4, 6), 'Use projector="auto"'),
            ((4, 5, 8), (4, 5, 6), 'Use projector="auto"'),
            ((2, 4, 4, 8), (2, 2, 2, 8), "keras.layers.Resizing"),
            ((4, 5, 8), (4, 8), "keras.layers.Resizing"),
        ],
    )
    def test_remedy(self, teacher, student, remedy):
        """ "auto" cannot change the number of tokens or pixels."""
        with pytest.raises(ValueError, match="they must be equal") as error:
            objective()(features(*teacher), features(*student))
        assert remedy in str(error.value)

    def test_loss_on_relations(self):
        """`same_shapes = False`: any widths."""
        teacher, student = features(4, 8), features(4, 3, seed=1)
        value = objective(Relations())(teacher, student)
        gram = [z.numpy() @ z.numpy().T for z in (teacher, student)]
        assert float(value) == pytest.approx(mse(*gram), rel=1e-4)

    def test_unknown_sizes(self):
        """Sequences of any length, in fit()."""
        hint = objective()
        spec = tf.TensorSpec((None, None, 6))
        call = tf.function(lambda t, s: hint(t, s), input_signature=[spec, spec])
        teacher, student = features(4, 3, 6), features(4, 3, 6, seed=1)
        assert float(call(teacher, student)) == pytest.approx(mse(teacher, student), rel=1e-5)


class TestProjector:
    @pytest.mark.parametrize("shape", [(4, 6), (4, 3, 6), (2, 3, 3, 6)])
    def test_auto(self, shape):
        """A linear map of the student's last axis: no activation, no bend."""
        teacher, student = features(*shape[:-1], 8), features(*shape, seed=1)
        hint = objective(projector="auto")
        value = hint(teacher, student)
        assert isinstance(hint.projector, layers.Dense)
        assert [tuple(w.shape) for w in hint.trainable_weights] == [(6, 8), (8,)]
        hint.projector.bias.assign(np.arange(8))
        kernel, bias = (w.numpy() for w in hint.trainable_weights)
        value = hint(teacher, student)
        assert float(value) == pytest.approx(mse(teacher, student @ kernel + bias), rel=1e-5)

    def test_resizing_and_convolution(self):
        """4-D features of another size, as the message advises."""
        projector = keras.Sequential([layers.Resizing(4, 4), layers.Conv2D(8, 1)])
        teacher, student = features(2, 4, 4, 8), features(2, 2, 2, 3, seed=1)
        hint = objective(projector=projector)
        value = hint(teacher, student)
        assert float(value) == pytest.approx(mse(teacher, projector(student)), rel=1e-5)
        assert len(hint.trainable_weights) == 2

    def test_given_layer_even_if_widths_are_equal(self):
        """A layer that the user gives is used."""
        projector = layers.Dense(6, kernel_initializer="zeros")
        teacher = features(4, 6)
        value = objective(projector=projector)(teacher, features(4, 6, seed=1))
        assert float(value) == pytest.approx(mse(teacher, np.zeros((4, 6))), rel=1e-5)

    @pytest.mark.parametrize("projector", [layers.Dense(1), "auto"])
    def test_projector_that_does_not_fit(self, projector):
        """The message shows the projected shape too; 1 against 8 never broadcasts."""
        student = (4, 6) if projector != "auto" else (4, 2, 6)
        with pytest.raises(ValueError, match="they must be equal") as error:
            objective(projector=projector)(features(4, 8), features(*student))
        assert "when projected" in str(error.value)

    def test_projector_that_is_built_already(self):
        """A pretrained projector keeps its weights."""
        projector = layers.Dense(8)
        projector.build((None, 6))
        kernel = projector.kernel.numpy()
        objective(projector=projector)(features(4, 8), features(4, 6))
        np.testing.assert_array_equal(projector.kernel, kernel)

    def test_only_the_student_side_gets_a_gradient(self):
        """Projector and student learn; the teacher stays."""
        teacher, student = tf.Variable(features(4, 8)), tf.Variable(features(4, 6, seed=1))
        hint = objective(projector="auto")
        hint.build((4, 8), (4, 6))
        with tf.GradientTape() as tape:
            value = hint(teacher, student)
        gradients = tape.gradient(value, [teacher, student, *hint.trainable_weights])
        assert gradients[0] is None
        assert all(np.any(gradient) for gradient in gradients[1:])


class TestMasksAndWeights:
    KEPT = np.array([[True, True, False], [True, False, False]])

    def masked(self, student):
        student = tf.identity(student)
        student._keras_mask = tf.constant(self.KEPT)
        return student

    @pytest.mark.parametrize(
        "projector",
        [
            None,
            "auto",
            layers.Dense(6),
            keras.Sequential([layers.Reshape((3, 5, 1)), layers.Reshape((3, 5)), layers.Dense(6)]),
        ],
        ids=["none", "auto", "dense", "drops the mask"],
    )
    @pytest.mark.filterwarnings("ignore:Layer .* does not support masking")
    def test_mask_of_the_student(self, projector):
        """A projector that loses the mask would let the padding count."""
        student = features(2, 3, 6 if projector is None else 5, seed=1)
        teacher = features(2, 3, 6)
        hint = objective(projector=projector)
        value = hint(teacher, self.masked(student))
        projected = student if hint.projector is None else hint.projector(student)
        expected = mse(teacher.numpy()[self.KEPT], np.asarray(projected)[self.KEPT])
        assert float(value) == pytest.approx(expected, rel=1e-5)

    def test_projector_with_a_mask_of_its_own(self):
        """It knows which of its positions are padding."""

        class EveryOther(layers.Layer):
            supports_masking = True

            def call(self, x):
                return x[:, ::2]

            def compute_output_shape(self, shape):
                return shape[0], -(-shape[1] // 2), shape[2]

            def compute_mask(self, x, mask=None):
                return mask[:, ::2]

        teacher, student = features(2, 2, 6), features(2, 3, 6, seed=1)
        kept = self.KEPT[:, ::2]
        expected = mse(teacher.numpy()[kept], student.numpy()[:, ::2][kept])
        value = objective(projector=EveryOther())(teacher, self.masked(student))
        assert float(value) == pytest.approx(expected, rel=1e-5)

    @pytest.mark.filterwarnings("ignore:Layer .* does not support masking")
    def test_projector_that_changes_the_length(self):
        """The old mask on other positions would leave out the wrong ones, or fail in Keras."""
        projector = layers.Conv1D(6, 2, strides=2, padding="same", name="halves")
        hint = objective(projector=projector)
        student = self.masked(features(2, 3, 6))
        with pytest.raises(ValueError, match=r"Received: a Keras mask of shape \(2, 3\).*'halves'"):
            hint(features(2, 2, 6), student)
        whole = hint(features(2, 2, 6), features(2, 3, 6))
        assert np.isfinite(float(whole))

    def test_projector_that_pools(self):
        """It has used the mask, and there are no positions any more, as many as features or not."""
        hint = objective(projector=layers.GlobalAveragePooling1D())
        teacher, student = features(2, 3), features(2, 3, 3, seed=1)
        pooled = [x[kept].mean(axis=0) for x, kept in zip(student.numpy(), self.KEPT)]
        value = hint(teacher, self.masked(student))
        assert float(value) == pytest.approx(mse(teacher, pooled), rel=1e-5)

    @pytest.mark.parametrize("weights", [(2,), (2, 3)], ids=["examples", "tokens"])
    @pytest.mark.parametrize("with_mask", [False, True])
    def test_sample_weights(self, with_mask, weights):
        """Weights per example hold for all tokens of the example, in the right order."""
        weights = np.linspace(0.5, 3.0, np.prod(weights)).reshape(weights)
        teacher, student = features(2, 3, 6), features(2, 3, 6, seed=1)
        kept = self.KEPT if with_mask else np.ones((2, 3), bool)
        values = np.mean((teacher.numpy() - student.numpy()) ** 2, axis=-1)
        factors = weights if weights.ndim == 2 else weights[:, None]
        value = objective()(
            teacher, self.masked(student) if with_mask else student, sample_weight=weights
        )
        assert float(value) == pytest.approx(
            np.sum((values * factors)[kept]) / kept.sum(), rel=1e-5
        )

    def test_token_weights_on_one_vector_per_example(self):
        """The mean of the tokens' weights."""
        teacher, student = features(2, 6), features(2, 6, seed=1)
        weights = np.array([[1.0, 3.0], [0.0, 1.0]])
        values = np.mean((teacher.numpy() - student.numpy()) ** 2, axis=-1)
        value = objective()(teacher, student, sample_weight=weights)
        assert float(value) == pytest.approx(np.mean(values * [2.0, 0.5]), rel=1e-5)

    def test_call_returns_the_unweighted_loss(self):
        """The weight comes in once, in the Distiller's total."""
        teacher, student = features(2, 6), features(2, 6, seed=1)
        value = objective(weight=100.0)(teacher, student)
        assert float(value) == pytest.approx(mse(teacher, student), rel=1e-5)

    def test_mixed_precision_policy(self):
        """Keras would cast a float32 activation to float16, where 1e5 is infinite."""
        teacher, student = 1e5 * features(2, 6), 1e5 * features(2, 6, seed=1)
        keras.config.set_dtype_policy("mixed_float16")
        try:
            hint = objective()
        finally:
            keras.config.set_dtype_policy("float32")
        assert float(hint(teacher, student)) == pytest.approx(mse(teacher, student), rel=1e-5)

    def test_half_precision_activations(self):
        """Activations of a float16 model are squared in float32."""
        teacher = tf.cast(1000 * features(2, 6), "float16")
        student = tf.cast(1000 * features(2, 6, seed=1), "float16")
        value = objective()(teacher, student)
        assert value.dtype == "float32"
        assert float(value) == pytest.approx(mse(teacher, student), rel=1e-5)


class TestValues:
    PROBABILITIES = tf.constant([[0.2, 0.8], [0.5, 0.5]])
    LOGITS = tf.constant([[2.0, -8.0], [0.5, 5.0]])

    @pytest.mark.parametrize("dtype", ["float64", "float16"])
    def test_dtype_of_the_loss(self, dtype):
        """A Distiller adds it to losses of Keras's dtype."""
        value = objective(FeatureMSE(dtype=dtype))(self.LOGITS, self.PROBABILITIES)
        assert value.dtype == "float32"

    @pytest.mark.parametrize("loss", [DIST, LogitsMSE, BinarySoftTargets])
    @pytest.mark.parametrize("side", ["teacher", "student"])
    def test_probabilities(self, side, loss):
        """Taken for logits, they would teach almost nothing."""
        pair = {"teacher": self.LOGITS, "student": self.LOGITS, side: self.PROBABILITIES}
        hint = objective(loss(), name="o")
        for _ in range(2):  # A second fit() is not let through.
            with pytest.raises(ValueError, match=f"The {side}'s '.*' looks like .*objective 'o'"):
                hint(**pair)
        objective(loss(**{f"{side}_from_logits": True}), name="o")(**pair)

    def test_first_values_only(self):
        """Later batches are smaller, and some may look like anything."""
        hint = objective(DIST())
        hint(self.LOGITS, self.LOGITS)
        assert float(hint(self.PROBABILITIES, self.PROBABILITIES)) == 0.5  # One row is constant.

    def test_masked_values(self):
        """What is left out says nothing."""
        student = tf.stack([self.LOGITS, self.PROBABILITIES], axis=1)
        student._keras_mask = tf.constant([[False, True], [False, True]])
        with pytest.raises(ValueError, match="looks like probabilities"):
            objective(DIST())(tf.identity(student), student)


class TestLossState:
    def test_layers_and_variables_of_the_loss(self):
        """Keras does not look into losses: untracked, they never train and are never saved."""
        loss = LearnedDistance()
        hint = objective(loss)
        assert not loss.embedding.built
        hint.build((4, 6), (4, 6))
        assert loss.embedding.built
        assert {id(w) for w in hint.trainable_weights} == {
            id(loss.embedding.kernel),
            id(loss.scale),
        }

    @pytest.mark.parametrize("jit_compile", [False, True])
    def test_built_inside_a_function(self, jit_compile):
        """Variables that are born in a trace would be born again in each."""
        loss = LearnedDistance()
        hint = objective(loss)
        call = tf.function(lambda t, s: hint(t, s), jit_compile=jit_compile)
        teacher, student = features(4, 6), features(4, 6, seed=1)
        kernel = None
        for scale in (2.0, 5.0):
            loss.scale.assign(scale)
            value = call(teacher, student)
            kernel = loss.embedding.kernel.numpy()
            difference = (teacher - student).numpy() @ kernel
            assert float(value) == pytest.approx(scale * np.mean(difference**2), rel=1e-4)
        assert len(hint.weights) == 2

    def test_loss_without_state(self):
        """Nothing to train."""
        hint = objective()
        hint.build((4, 6), (4, 6))
        assert hint.variables == []


class TestSerialisation:
    @pytest.mark.parametrize("is_built", [False, True])
    @pytest.mark.parametrize(
        ("loss", "projector"),
        [
            (FeatureMSE(reduction="sum", name="mine"), None),
            (FeatureCosine(), "auto"),
            (FeatureMSE(), layers.Dense(8, activation="tanh")),
            (FeatureMSE(), keras.Sequential([layers.Dense(4), layers.Dense(8)])),
            (keras.losses.MeanSquaredError(), "auto"),
        ],
        ids=["none", "auto", "dense", "sequential", "keras loss"],
    )
    def test_round_trip(self, loss, projector, is_built):
        """A Distiller that is reloaded goes on with the same objective."""
        width = 8 if projector is None else 6
        teacher, student = features(4, 8), features(4, width, seed=1)
        hint = objective(loss, projector=projector, weight=0.25, name="hint")
        if is_built:
            hint(teacher, student)
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(hint)))
        restored = keras.saving.deserialize_keras_object(config)
        assert json.dumps(restored.get_config()) == json.dumps(hint.get_config())
        assert (restored.name, restored.weight) == ("hint", 0.25)
        assert (restored.teacher_layer, restored.student_layer) == ("t/block", "s/block")
        assert restored.loss.get_config() == loss.get_config()
        assert restored.built == is_built
        if is_built:
            assert len(restored.weights) == len(hint.weights)
            restored.set_weights(hint.get_weights())
            assert float(restored(teacher, student)) == float(hint(teacher, student))

    def test_schedule(self):
        """A weight that fades must go on fading."""
        schedule = keras.optimizers.schedules.PolynomialDecay(1.0, 10, 0.0)
        config = keras.saving.serialize_keras_object(objective(weight=schedule))
        restored = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
        assert float(restored.weight(5)) == 0.5

    def test_loss_with_state(self):
        """Its layer is built again, and its variables are among the weights."""
        hint = objective(LearnedDistance())
        hint.build((4, 6), (4, 6))
        restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(hint))
        restored.set_weights(hint.get_weights())
        teacher, student = features(4, 6), features(4, 6, seed=1)
        assert float(restored(teacher, student)) == float(hint(teacher, student))

    def test_config_is_not_changed(self):
        """from_config of one config twice."""
        config = objective(projector=layers.Dense(8)).get_config()
        before = json.dumps(config)
        Objective.from_config(config)
        assert json.dumps(config) == before


class TestArguments:
    def test_name(self):
        """The entry in the history."""
        assert objective().name == "feature_mse"
        assert objective(FeatureCosine(name="direction")).name == "direction"
        assert objective(name="hint").name == "hint"

    @pytest.mark.parametrize("loss", ["kl", 3, None, FeatureMSE])
    def test_loss(self, loss):
        """A name that Keras does not know, and a class, are no loss."""
        with pytest.raises(
            ValueError, match=r"loss must be a keras\.losses\.Loss.*Received: loss="
        ):
            Objective(loss, teacher_layer="a", student_layer="b")

    @pytest.mark.parametrize(
        "loss", [FeatureMSE(reduction=None), keras.losses.MeanSquaredError(reduction="none")]
    )
    def test_loss_without_reduction(self, loss):
        """Its values, added to the hard loss, would count that once for each example."""
        with pytest.raises(ValueError, match=r"loss must have a reduction.*Received: .*Leave it"):
            objective(loss)

    @pytest.mark.parametrize("path", ["", None, 3, ["a"], layers.Dense(2)])
    @pytest.mark.parametrize("side", ["teacher_layer", "student_layer"])
    def test_paths(self, side, path):
        """A layer itself cannot be saved with the objective."""
        paths = {"teacher_layer": "a", "student_layer": "b", side: path}
        with pytest.raises(ValueError, match=f"{side} must be the path of a layer or output"):
            Objective(FeatureMSE(), **paths)

    @pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), True, "1", None])
    def test_weight(self, weight):
        """A negative weight would drive the student away from the teacher."""
        message = f"weight must be a finite number >= 0.*Received: weight={weight!r}"
        with pytest.raises(ValueError, match=message):
            objective(weight=weight)

    def test_weight_of_zero(self):
        """Switched off, but still in the history."""
        assert objective(weight=0).weight == 0

    @pytest.mark.parametrize(
        "projector", ["dense", 8, layers.Dense, [layers.Dense(2)], lambda x: x]
    )
    def test_projector(self, projector):
        """A function has no weights that could be saved."""
        with pytest.raises(ValueError, match=r'projector must be None, "auto" or a keras\.layers'):
            objective(projector=projector)


class TestSharing:
    """What two objectives share is saved once, and the file can never be loaded."""

    @pytest.mark.parametrize(
        ("loss", "projector"),
        [
            (LearnedDistance(), None),
            (MaskedGenerative(), None),
            (FeatureMSE(), layers.Dense(6)),
        ],
    )
    def test_parts(self, loss, projector):
        pair = [objective(loss, projector=projector, name=name) for name in ("one", "two")]
        with pytest.raises(
            ValueError, match=r"'one' and 'two' share .*Received: .*layer_objectives"
        ):
            check_objectives(pair)

    def test_layer_inside_two_projectors(self):
        """Also before anything is built."""
        dense = layers.Dense(6)
        pair = [
            objective(projector=keras.Sequential([dense, layers.ReLU()]), name=name)
            for name in ("one", "two")
        ]
        with pytest.raises(ValueError, match="Received: 'dense"):
            check_objectives(pair)

    def test_loss_without_parts(self):
        """One will do for many layers."""
        loss = FeatureMSE()
        pair = [objective(loss, name=name, projector="auto") for name in "ab"]
        assert check_objectives(pair) is None
