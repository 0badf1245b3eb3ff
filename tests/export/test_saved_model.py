import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import students_to_export
import tensorflow as tf
from keras import layers

from keras_distill import export_saved_model
from keras_distill import export_tflite
from keras_distill.evaluation import compare
from keras_distill.export.saved_model.served_model import ServedModel

MODELS = [
    students_to_export.cnn,
    students_to_export.text_cnn,
    students_to_export.bilstm,
    students_to_export.transformer,
    students_to_export.two_in_two_out,
]

SERVE = """
import json, sys
import tensorflow as tf
module = tf.saved_model.load(sys.argv[1])
served = module.signatures["serving_default"](texts=tf.constant(json.loads(sys.argv[2])))
print(json.dumps({name: value.numpy().tolist() for name, value in served.items()}))
"""


def names_in(path):
    endpoint = tf.saved_model.load(str(path)).signatures["serving_default"]
    return set(endpoint.structured_input_signature[1]), set(endpoint.structured_outputs)


def dense(seed=0):
    initializer = keras.initializers.GlorotUniform(seed)
    dense = layers.Dense(2, kernel_initializer=initializer)
    return keras.Sequential([keras.Input((4,)), dense])


@pytest.mark.long
def test_one_text_in_a_folder_that_is_a_pattern(tmp_path):
    """A list of one text is a batch; TensorFlow looks for the variables by a pattern."""
    texts = keras.Input((), dtype="string", name="texts")
    words = ["a", "good", "film"]
    numbers = layers.TextVectorization(output_mode="multi_hot", vocabulary=words)(texts)
    model = keras.Model(texts, layers.Dense(2)(numbers))
    path = export_saved_model(model, tmp_path / "a [b]*?" / "c{d}", warmup=["a film"])
    assert (path / "assets.extra" / "tf_serving_warmup_requests").is_file()
    assert compare(
        {"server": path.parent}, (np.array(["a"]), np.array([1])), num_threads=(1,)
    ).num_examples


@pytest.mark.long
def test_strings_are_served_in_a_fresh_process(tmp_path):
    """A vocabulary that only this process knows would not be in the files."""
    texts = ["a good film", "a bad film", "good"]
    vectorization = layers.TextVectorization(output_sequence_length=5)
    vectorization.adapt(texts)
    x = keras.Input((), dtype="string", name="texts")
    pooled = layers.GlobalAveragePooling1D()(layers.Embedding(10, 3)(vectorization(x)))
    model = keras.Model(x, layers.Dense(2, name="logits")(pooled))
    path = export_saved_model(model, tmp_path)
    command = [sys.executable, "-c", SERVE, str(path), json.dumps(texts)]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    served = json.loads(printed.splitlines()[-1])
    assert set(served) == {"logits", "probabilities"}
    np.testing.assert_allclose(served["logits"], model(tf.constant(texts)), atol=1e-6)


@pytest.mark.long_but_first
@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_every_kind_of_student_serves_any_batch_under_its_names(build, tmp_path):
    model = build()
    path = export_saved_model(model, tmp_path)
    endpoint = tf.saved_model.load(str(path)).signatures["serving_default"]
    inputs, outputs = names_in(path)
    assert inputs == {tensor.name for tensor in model.inputs}
    is_dict = isinstance(model.output, dict)
    assert outputs == (set(model.output) if is_dict else {"logits", "probabilities"})
    x = {tensor.name: tf.ones((6, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs}
    served = endpoint(**x)
    expected = model(x if len(x) > 1 else next(iter(x.values())))
    expected = expected if isinstance(expected, dict) else {"logits": expected}
    for name, value in expected.items():
        np.testing.assert_allclose(served[name], value, atol=1e-5)


def test_subclassed_model_with_known_inputs(tmp_path):
    class Student(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = layers.Embedding(10, 2)

        def call(self, ids):
            return {"mean": keras.ops.mean(self.embedding(ids), axis=1)}

    model = Student()
    model(keras.Input((4,), dtype="int32", name="ids"))
    assert names_in(export_saved_model(model, tmp_path)) == ({"ids"}, {"mean"})


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_half_precision(policy, tmp_path):
    x = keras.Input((4,))
    hidden = layers.Dense(8, dtype=policy)(x)
    path = export_saved_model(keras.Model(x, layers.Dense(2, dtype=policy)(hidden)), tmp_path)
    assert names_in(path) == ({"inputs"}, {"logits", "probabilities"})


def test_unknown_length_stays_unknown(tmp_path):
    ids = keras.Input((None,), dtype="int32", name="ids")
    model = keras.Model(ids, layers.GlobalMaxPooling1D()(layers.Embedding(20, 3)(ids)))
    endpoint = tf.saved_model.load(export_saved_model(model, tmp_path)).signatures[
        "serving_default"
    ]
    for length in (2, 9):
        assert endpoint(ids=tf.ones((1, length), tf.int32))["output"].shape == (1, 3)


def test_weights_are_shipped_once_and_the_optimizer_not_at_all(tmp_path):
    """Keras's own export writes each weight twice; Adam's slots would be two more."""
    model = keras.Sequential([keras.Input((100,)), layers.Dense(100)])
    model.compile("adam", "mse")
    model.fit(np.ones((2, 100)), np.ones((2, 100)), verbose=0)
    path = export_saved_model(model, tmp_path)
    num_bytes = sum(file.stat().st_size for file in (path / "variables").iterdir())
    assert num_bytes < 1.1 * 4 * 100 * 101


def test_versions_count_up_from_the_highest_and_keep_the_others(tmp_path):
    directory = tmp_path / "served" / "student"
    assert export_saved_model(dense(), directory) == directory / "1"
    assert export_saved_model(dense(), str(directory), version=9) == directory / "9"
    (directory / "notes").mkdir()
    assert export_saved_model(dense(), directory) == directory / "10"
    assert {path.name for path in directory.iterdir()} == {"1", "9", "10", "notes", "models.config"}


def test_existing_version_is_refused_and_kept(tmp_path):
    """An overwritten version changes what running servers answer under the same number."""
    path = export_saved_model(dense(), tmp_path)
    before = (path / "saved_model.pb").stat().st_mtime_ns
    with pytest.raises(FileExistsError, match="never overwritten"):
        export_saved_model(dense(seed=1), tmp_path, version=1)
    assert (path / "saved_model.pb").stat().st_mtime_ns == before


@pytest.mark.parametrize("version", [0, -1, 1.0, "2", True])
def test_bad_version_is_refused(version, tmp_path):
    with pytest.raises(ValueError, match="version must be"):
        export_saved_model(dense(), tmp_path, version=version)


class FrozenBatch(layers.Layer):
    """Reads the batch size in Python: the graph has that of no batch."""

    def call(self, x):
        return x * (x.shape[0] or 1)

    def compute_output_shape(self, input_shape):
        return input_shape


def frozen_batch():
    x = keras.Input((4,))
    return keras.Model(x, FrozenBatch()(x))


@pytest.mark.parametrize(
    "build",
    [students_to_export.random_at_inference, frozen_batch, students_to_export.nan_weights],
    ids=lambda build: build.__name__,
)
def test_model_that_disagrees_is_refused_and_leaves_nothing(build, tmp_path):
    """A server that watches the folder would load half a model, or a wrong one."""
    with pytest.raises(ValueError, match="othing was written"):
        export_saved_model(build(), tmp_path / "served")
    assert not list((tmp_path / "served").glob("*"))


class OtherOrder(layers.Layer):
    """Adds terms that cancel, in another order in a graph: both are right, up to rounding."""

    error = 0.0

    def build(self, shape):
        terms = 100 * np.random.default_rng(0).normal(size=2000)
        self.terms = self.add_weight((4000,), keras.initializers.Constant([*terms, *-terms]))

    def call(self, x):
        terms = x[..., None] * self.terms
        if tf.executing_eagerly():
            return x + tf.math.cumsum(terms, axis=-1)[..., -1]
        return x + tf.math.cumsum(terms, axis=-1, reverse=True)[..., 0] + self.error


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_rounding_of_a_graph_is_no_disagreement(activation, tmp_path):
    """Keras itself differs by 2e-5 between eager mode and a graph, in deep networks."""
    x = keras.Input((4,))
    layer = OtherOrder()
    model = keras.Model(x, layers.Dense(3, activation=activation)(layer(x)))
    values = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    difference = np.abs(model(values) - tf.function(model)(values)).max()
    assert difference > 3e-5
    labels = ["a", "b", "c"]
    export_saved_model(model, tmp_path, class_names=labels, representative_data=values)
    layer.error = 0.3
    with pytest.raises(ValueError, match="must agree with Keras"):
        export_saved_model(model, tmp_path, class_names=labels, representative_data=values)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["1"]


class WrongGraph(layers.Layer):
    """Gives other logits in a graph."""

    def call(self, x):
        return x if tf.executing_eagerly() else x * 1.5


def test_small_probabilities_are_compared_as_such(tmp_path):
    """Of a thousand classes each has a thousandth, up to 1e-5: any file would agree to that."""
    x = keras.Input((4,))
    kernel = keras.initializers.RandomNormal(stddev=1e-3, seed=0)
    logits = WrongGraph()(layers.Dense(1000, kernel_initializer=kernel)(x))
    with pytest.raises(ValueError, match="must agree with Keras"):
        export_saved_model(keras.Model(x, layers.Softmax()(logits)), tmp_path)


def test_labels_that_tie_are_as_good_as_each_other():
    """Two logits that differ by rounding come in any order."""
    x = keras.Input((2,))
    model = ServedModel(keras.Model(x, layers.Dense(3)(x)), ["a", "b", "c"], top_k=2)
    tie, clear = np.log([0.4, 0.4 - 1e-7, 0.2]), np.log([0.7, 0.2, 0.1])
    expected = {
        "probabilities": np.stack([tie, clear]),
        "top_scores": np.stack([tie, clear])[:, :2],
        "top_labels": np.array([[b"a", b"b"], [b"a", b"b"]], object),
        "label": np.array([b"a", b"a"], object),
    }
    served = {
        **expected,
        "top_labels": np.array([[b"b", b"a"], [b"a", b"c"]], object),
        "label": np.array([b"b", b"b"], object),
    }
    found = model.with_ties(served, expected, limit=1e-5)
    assert found["top_labels"].tolist() == [[b"a", b"b"], [b"a", b"c"]]
    assert found["label"].tolist() == [b"a", b"b"]


class AlwaysOn(layers.Dropout):
    def call(self, x, training=None):
        return super().call(x, training=True)


@pytest.mark.parametrize("export", [export_saved_model, export_tflite])
def test_a_dropout_that_is_always_on_is_refused(export, tmp_path):
    x = keras.Input((20,))
    noisy = AlwaysOn(0.1)(layers.Dense(50)(x))
    model = keras.Model(x, layers.Dense(2, activation="softmax")(1e-2 * noisy))
    with pytest.raises(ValueError, match="same outputs for the same inputs"):
        export(model, tmp_path / "s")
    assert not list(tmp_path.glob("s/[!.]*"))


def test_failure_while_writing_leaves_nothing(tmp_path):
    class Untraceable(layers.Layer):
        def call(self, x):
            return (
                x * float(keras.ops.convert_to_numpy(x).mean()) if tf.executing_eagerly() else 1 / 0
            )

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, x.dtype)

    x = keras.Input((4,))
    with pytest.raises(ZeroDivisionError):
        export_saved_model(keras.Model(x, Untraceable()(x)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_real_inputs_find_what_generated_ones_cannot(tmp_path):
    """Noise at zero only shows on inputs that are zero."""

    class NoiseOnZeros(students_to_export.Noise):
        def call(self, x):
            return keras.ops.where(x == 0, super().call(x), x)

    x = keras.Input((4,))
    model = keras.Model(x, NoiseOnZeros()(x))
    assert export_saved_model(model, tmp_path).name == "1"
    with pytest.raises(ValueError, match="same outputs for the same inputs"):
        export_saved_model(model, tmp_path, representative_data=np.zeros((2, 4)))
