"""HubLayer: a module in a Keras 3 model is as it is outside, and trains like any layer."""

import hub_modules
import keras
import numpy as np
import pytest
import tensorflow as tf
from hub_modules import INPUTS
from keras import layers

from keras_distill import Distiller
from keras_distill import Objective
from keras_distill import losses
from keras_distill.teachers.hub import HubLayer

IDS = np.array([[2, 5, 7, 3, 0], [2, 6, 7, 3, 0], [2, 4, 8, 9, 3], [2, 3, 0, 0, 0]])
LABELS = np.array([0, 1, 1, 0])
NUM_TRAINABLE = 5


def inputs(dtype="int32", ids=IDS):
    arrays = (ids, ids > 0, np.zeros_like(ids))
    return {name: array.astype(dtype) for name, array in zip(INPUTS, arrays)}


def keras_inputs(dtype="int32"):
    return {name: keras.Input((5,), dtype=dtype, name=name) for name in INPUTS}


def classifier(encoder, **kwargs):
    x = keras_inputs()
    model = keras.Model(x, layers.Dense(2)(encoder(x)["pooled_output"]), **kwargs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    return model


def moved_by_fit(model):
    before = [np.array(v) for v in model.weights]
    model.fit(inputs(), LABELS, verbose=0)
    return {v.path for v, value in zip(model.weights, before) if np.any(np.array(v) != value)}


def paths(variables):
    return {v.path for v in variables}


# Calls


def test_a_functional_model_has_all_outputs_with_their_shapes(encoder_folder):
    x = keras_inputs()
    outputs = HubLayer(encoder_folder)(x)
    assert set(outputs) == {"default", "pooled_output", "sequence_output", "encoder_outputs"}
    assert outputs["default"].shape == outputs["pooled_output"].shape == (None, 8)
    assert outputs["sequence_output"].shape == (None, 5, 8)
    assert [layer.shape for layer in outputs["encoder_outputs"]] == [(None, 5, 8)] * 2
    expected = tf.saved_model.load(str(encoder_folder))(inputs())
    actual = keras.Model(x, outputs)(inputs())
    keras.tree.map_structure(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize("dtype", ["int64", "int16", "bool"])
def test_integers_are_cast_to_the_modules(encoder_folder, dtype):
    layer = HubLayer(encoder_folder, output_key="pooled_output")
    x = inputs(dtype, np.minimum(IDS, 1))
    expected = layer(inputs("int32", np.minimum(IDS, 1)))
    np.testing.assert_array_equal(layer(x), expected)
    symbolic = keras_inputs(dtype=dtype)
    np.testing.assert_array_equal(keras.Model(symbolic, layer(symbolic))(x), expected)


def test_lists_are_tensors(encoder_folder):
    layer = HubLayer(encoder_folder, output_key="sequence_output")
    lists = {name: array.tolist() for name, array in inputs().items()}
    np.testing.assert_array_equal(layer(lists), layer(inputs()))


def test_a_module_of_one_tensor(tmp_path):
    layer = HubLayer(hub_modules.save_projection(tmp_path / "module"), trainable=True)
    x = np.eye(3)
    np.testing.assert_array_equal(layer(x), layer.weights[0])
    np.testing.assert_array_equal(layer(x.tolist()), layer(x))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            {"ids": IDS},
            r"inputs must be like .*'input_mask': 'int32 \(None, None\)'.*'ids': 'int64",
        ),
        (IDS, r"inputs must be like .* Received: int64 \(4, 5\)"),
        (inputs("float32"), r"'input_\w+' must be int32. Received: a tensor of float32"),
    ],
    ids=["keys", "structure", "floats"],
)
def test_inputs_that_are_not_the_modules(encoder_folder, x, message):
    with pytest.raises(ValueError, match=message):
        HubLayer(encoder_folder)(x)


def test_an_unknown_output_key_lists_the_outputs(encoder_folder, tmp_path):
    with pytest.raises(ValueError, match=r"outputs: \['default', 'encoder_outputs'.*'pooled'"):
        HubLayer(encoder_folder, output_key="pooled")(inputs())
    projection = HubLayer(hub_modules.save_projection(tmp_path / "module"), output_key="default")
    with pytest.raises(ValueError, match="one output without a key"):
        projection([[1.0, 2.0, 3.0]])


# Training


def test_a_frozen_layer_trains_nothing(encoder_folder):
    encoder = HubLayer(encoder_folder)
    model = classifier(encoder)
    assert not encoder.trainable_weights
    assert len(encoder.weights) == NUM_TRAINABLE + 1
    assert moved_by_fit(model) == paths(model.layers[-1].weights) == paths(model.trainable_weights)


@pytest.mark.parametrize("trainable", [False, True])
def test_a_parent_with_a_trainable_of_its_own(encoder_folder, trainable):
    """Variables that Keras knew before the freeze would train in the parent."""

    class Parent(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.encoder = HubLayer(encoder_folder, output_key="pooled_output")
            self.head = layers.Dense(2)

        def call(self, x):
            return self.head(self.encoder(x))

    parent = Parent(trainable=trainable)
    parent(inputs())
    assert len(parent.trainable_variables) == (2 if trainable else 0)
    assert not parent.encoder.trainable


@pytest.mark.long
def test_a_trainable_layer_trains_all_its_variables(encoder_folder):
    encoder = HubLayer(encoder_folder, trainable=True)
    model = classifier(encoder)
    assert len(encoder.trainable_weights) == NUM_TRAINABLE
    assert [w.name for w in encoder.non_trainable_weights] == ["steps"]
    assert moved_by_fit(model) == paths(model.trainable_weights)
    by_the_module = encoder.module(inputs())["pooled_output"]
    np.testing.assert_array_equal(encoder(inputs())["pooled_output"], by_the_module)


def test_trainable_can_be_changed_later(encoder_folder):
    encoder = HubLayer(encoder_folder)
    model = classifier(encoder)
    encoder.trainable = True
    model.compile("sgd", model.loss)
    assert paths(encoder.trainable_weights) <= moved_by_fit(model)
    encoder.trainable = False
    model.compile("sgd", model.loss)
    assert moved_by_fit(model) == paths(model.layers[-1].weights)


def test_dropout_follows_training_unless_frozen(encoder_folder):
    encoder = HubLayer(encoder_folder, trainable=True, output_key="pooled_output")
    at_inference = np.array(encoder(inputs()))
    np.testing.assert_array_equal(encoder(inputs(), training=False), at_inference)
    assert np.any(encoder(inputs(), training=True) != at_inference)
    encoder.trainable = False
    np.testing.assert_array_equal(encoder(inputs(), training=True), at_inference)


def test_regularization_losses_count_once_and_only_if_trainable(encoder_folder):
    encoder = HubLayer(encoder_folder, trainable=True, output_key="pooled_output")
    x = keras_inputs()
    pair = layers.Subtract()([encoder(x), encoder({**x, "input_word_ids": x["input_mask"]})])
    model = keras.Model(x, pair)
    kernels = [np.array(w) for w in encoder.weights if "layer_" in w.name]
    expected = sum((kernel**2).sum() for kernel in kernels)
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-5)
    model.compile("sgd", lambda y, y_pred: 0.0 * y_pred)
    evaluated = model.evaluate(inputs(), np.zeros((4, 8)), verbose=0)
    assert evaluated == pytest.approx(expected, rel=1e-5)
    encoder.trainable = False
    assert model.losses == []


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    ("policy", "dtype"), [("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")]
)
def test_mixed_precision_casts_the_outputs_only(encoder_folder, policy, dtype):
    encoder = HubLayer(encoder_folder, trainable=True, dtype=policy)
    outputs = encoder(inputs())
    expected = encoder.module(inputs())
    for actual, exact in zip(keras.tree.flatten(outputs), keras.tree.flatten(expected)):
        assert actual.dtype == dtype
        np.testing.assert_array_equal(actual, tf.cast(exact, dtype))
    assert {w.dtype for w in encoder.trainable_weights} == {"float32"}
    assert paths(encoder.trainable_weights) <= moved_by_fit(classifier(encoder))


@pytest.mark.long
def test_two_devices_train_like_one(two_devices, tmp_path):
    folder = hub_modules.save_encoder(tmp_path / "encoder", dropout=0.0)

    def train(strategy):
        keras.utils.set_random_seed(1)
        with strategy.scope():
            model = classifier(HubLayer(folder, trainable=True))
            model.compile(keras.optimizers.SGD(0.1, momentum=0.9), model.loss)
        model.fit(inputs(), LABELS, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    for one, two in zip(train(tf.distribute.get_strategy()), train(two_devices)):
        np.testing.assert_allclose(two, one, atol=1e-6)


def test_xla_is_off(encoder_folder):
    assert not HubLayer(encoder_folder).supports_jit


def test_a_distiller_taps_a_frozen_encoder(encoder_folder):
    encoder = HubLayer(encoder_folder, name="hub_layer")
    teacher = classifier(encoder)
    x = keras_inputs()
    hidden = layers.Embedding(hub_modules.WORDS, 6, name="hidden")(x["input_word_ids"])
    student = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(hidden)))
    tap = "hub_layer[encoder_outputs][1]"
    hint = Objective(
        losses.FeatureMSE(),
        teacher_layer=tap,
        student_layer="hidden",
        projector="auto",
        name="hint",
    )
    distiller = Distiller(student=student, teacher=teacher, alpha=0.5, objectives=[hint])
    distiller.compile("sgd", teacher.loss)
    before = encoder.get_weights()
    history = distiller.fit(inputs(), LABELS, verbose=0).history
    assert history["hint"][0] > 0
    for value, weight in zip(before, encoder.weights):
        np.testing.assert_array_equal(weight, value)


# Modules that only have signatures


def test_a_signature(signatures_folder):
    layer = HubLayer(signatures_folder, signature="serving_default")
    x = keras_inputs()
    outputs = layer(x)
    assert outputs["sequence_output"].shape == (None, 5, 8)
    served = layer.module.signatures["serving_default"]
    expected = served(**{name: tf.constant(array) for name, array in inputs().items()})
    actual = keras.Model(x, outputs)(inputs())
    keras.tree.map_structure(np.testing.assert_array_equal, actual, expected)
    assert len(layer.weights) == NUM_TRAINABLE
    layer.trainable = True
    assert not layer.trainable_weights


def test_a_signature_of_one_input_takes_the_tensor(signatures_folder):
    layer = HubLayer(signatures_folder, signature="embed", output_key="embeddings")
    np.testing.assert_array_equal(layer(IDS), layer({"ids": IDS}))
    np.testing.assert_array_equal(layer(IDS), np.array(layer.weights[0])[IDS])


def test_a_module_without_call_lists_its_signatures(signatures_folder):
    with pytest.raises(ValueError, match=r"no __call__.*signature=.*\['embed', 'serving_default'"):
        HubLayer(signatures_folder)


def test_an_unknown_signature_lists_the_known_ones(signatures_folder):
    with pytest.raises(ValueError, match=r"signature must be one .*\['embed', 'serving_default'\]"):
        HubLayer(signatures_folder, signature="serve")


def test_a_signature_cannot_train(signatures_folder):
    with pytest.raises(ValueError, match=r"cannot train.*signature='embed', trainable=True"):
        HubLayer(signatures_folder, trainable=True, signature="embed")


# Preprocessors


@pytest.fixture(scope="module")
def preprocessor(preprocessor_folder):
    return HubLayer(preprocessor_folder)


def test_a_preprocessor_runs_in_tf_data_and_in_a_model(preprocessor, encoder_folder):
    encoder = HubLayer(encoder_folder, output_key="pooled_output")
    texts = ["a good film", "watching bads"]
    ids = [[2, 4, 5, 7, 3, 0], [2, 10, 9, 6, 8, 3]]
    np.testing.assert_array_equal(preprocessor(texts)["input_word_ids"], ids)
    data = tf.data.Dataset.from_tensor_slices(texts).batch(2).map(preprocessor)
    (batch,) = data
    np.testing.assert_array_equal(batch["input_word_ids"], ids)
    x = keras.Input((), dtype="string")
    model = keras.Model(x, encoder(preprocessor(x)))
    np.testing.assert_allclose(model(tf.constant(texts)), encoder(batch), atol=1e-6)


def test_the_parts_of_a_preprocessor_are_in_its_module(preprocessor, preprocessor_folder):
    tokens = preprocessor.module.tokenize(tf.constant(["good film", "bad"]))
    packed = preprocessor.module.bert_pack_inputs([tokens, tokens], tf.constant(8))
    expected = [[2, 5, 7, 3, 5, 7, 3, 0], [2, 6, 3, 6, 3, 0, 0, 0]]
    np.testing.assert_array_equal(packed["input_word_ids"], expected)
    assert preprocessor.folder == str(preprocessor_folder)


def test_a_dtype_of_the_inputs_as_for_hub_keras_layer(preprocessor_folder, encoder_folder):
    assert HubLayer(preprocessor_folder, dtype=tf.string)(["bad"])["input_mask"].dtype == tf.int32
    encoder = HubLayer(encoder_folder, dtype="int32", output_key="default")
    assert encoder(inputs()).dtype == tf.float32


# A real module


@pytest.mark.long
def test_a_real_bert(real_encoder_folder):
    encoder = HubLayer(real_encoder_folder, trainable=True)
    assert len(encoder.trainable_weights) == 103
    x, symbolic = inputs(), keras_inputs()
    outputs = encoder(symbolic)
    assert [layer.shape for layer in outputs["encoder_outputs"]] == [(None, 5, 384)] * 6
    model = keras.Model(symbolic, layers.Dense(2)(outputs["pooled_output"]))
    hidden = keras.Model(symbolic, outputs)(x)
    by_the_module = encoder.module({name: tf.constant(array) for name, array in x.items()})
    keras.tree.map_structure(np.testing.assert_array_equal, hidden, by_the_module)
    encoder.trainable = False
    assert len(model.trainable_weights) == 2
    encoder.trainable = True
    # Eager: one step is quicker run than traced.
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=True)
    assert moved_by_fit(model) == paths(model.trainable_weights)
