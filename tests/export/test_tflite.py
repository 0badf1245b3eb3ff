import sys

import keras
import numpy as np
import pytest
import students_to_export
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from keras_distill import export_tflite

MODELS = [
    students_to_export.cnn,
    students_to_export.text_cnn,
    students_to_export.bilstm,
    students_to_export.transformer,
    students_to_export.two_in_two_out,
]


@pytest.mark.long_but_first
@pytest.mark.parametrize("quantization", ["none", "dynamic"])
@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_every_kind_of_student_runs_in_the_stock_interpreter(build, quantization, tmp_path):
    """Keras's own LiteRT export gives LSTMs Flex operations, which no phone has."""
    model = build()
    report = export_tflite(model, tmp_path / "new" / "student.tflite", quantization=quantization)
    assert (report.quantization, report.num_examples) == (quantization, 32)
    assert report.num_bytes == report.path.stat().st_size
    assert report.top1_agreement >= 0.9
    interpreter = Interpreter(str(report.path))
    names = [operation["op_name"] for operation in interpreter._get_ops_details()]
    assert names
    assert not any(name.startswith("Flex") for name in names)
    assert set(interpreter.get_signature_list()["serving_default"]["inputs"]) == {
        tensor.name for tensor in model.inputs
    }


@pytest.mark.parametrize("kind", ["array", "dataset"])
def test_report_is_what_a_user_measures_on_the_same_inputs(kind, tmp_path):
    """Figures from other inputs, or of another file, would be reported as this one's."""
    model = students_to_export.two_in_two_out()
    generator = np.random.default_rng(3)
    x = {
        "ids": generator.integers(0, 50, (7, 8)).astype("int32"),
        "extra": generator.normal(size=(7, 5)).astype("float32"),
    }
    data = x
    if kind == "dataset":
        data = tf.data.Dataset.from_tensor_slices((x, np.zeros(7))).batch(3)
    report = export_tflite(
        model, tmp_path / "s.tflite", quantization="dynamic", representative_data=data
    )
    interpreter = Interpreter(str(report.path))
    runner = interpreter.get_signature_runner("serving_default")
    rows = [runner(**{name: x[name][i : i + 1] for name in x}) for i in range(7)]
    differences = [
        np.abs(np.concatenate([row[name] for row in rows]) - values.numpy()).max()
        for name, values in model(x).items()
    ]
    assert report.max_difference == pytest.approx(max(differences))
    shares = [d / np.ptp(v) for d, v in zip(differences, model(x).values())]
    assert report.max_relative_difference == pytest.approx(max(shares))
    assert report.num_examples == 7


def test_dynamic_is_a_quarter_of_the_size(tmp_path):
    """Without Optimize.DEFAULT a "dynamic" file would be a float32 file."""
    model = keras.Sequential([keras.Input((200,)), layers.Dense(400), layers.Dense(10)])
    sizes = {
        quantization: export_tflite(
            model, tmp_path / quantization, quantization=quantization
        ).num_bytes
        for quantization in ("none", "dynamic")
    }
    assert sizes["dynamic"] < 0.3 * sizes["none"]


def test_at_most_100_real_examples_are_compared(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    data = np.ones((150, 4))
    report = export_tflite(model, tmp_path / "s.tflite", representative_data=data)
    assert (report.num_examples, report.top1_agreement) == (100, None)


@pytest.mark.parametrize("quantization", ["none", "dynamic"])
@pytest.mark.parametrize(
    "build",
    [students_to_export.random_at_inference, students_to_export.nan_weights],
    ids=lambda build: build.__name__,
)
def test_refused_export_keeps_the_file_that_was_there(build, quantization, tmp_path):
    """A good file must not make way for one that nobody may ship."""
    path = tmp_path / "student.tflite"
    path.write_bytes(b"the good one")
    with pytest.raises(ValueError, match="othing was written"):
        export_tflite(build(), path, quantization=quantization)
    assert path.read_bytes() == b"the good one"
    assert list(tmp_path.iterdir()) == [path]


def test_accepted_export_replaces_the_file_that_was_there(tmp_path):
    path = tmp_path / "student.tflite"
    path.write_bytes(b"the old one")
    report = export_tflite(students_to_export.cnn(), path)
    assert path.stat().st_size == report.num_bytes > 1000


def test_flipped_classes_are_refused_on_real_inputs(tmp_path):
    """An error that is small beside the range can still change most answers."""
    model = keras.Sequential([keras.Input((64,)), layers.Dense(1000), layers.Dense(2)])
    # One class's weights differ from the other's by less than a quantization step.
    kernel = np.random.default_rng(0).normal(size=(1000, 1))
    kernel = np.concatenate([kernel, kernel + 1e-4], axis=1)
    model.layers[1].kernel.assign(kernel)
    data = np.random.default_rng(1).normal(size=(50, 64))
    with pytest.raises(ValueError, match="top-1 in 90%"):
        export_tflite(
            model, tmp_path / "s.tflite", quantization="dynamic", representative_data=data
        )
    assert not list(tmp_path.iterdir())


def test_unknown_quantization_lists_the_modes(tmp_path):
    with pytest.raises(ValueError, match=r"'none', 'float16', .*quantization='int3'"):
        export_tflite(students_to_export.cnn(), tmp_path / "s.tflite", quantization="int3")


def open_length():
    ids = keras.Input((None,), dtype="int32", name="ids")
    starts = keras.Input((None,), dtype="int32", name="starts")
    x = layers.Embedding(20, 3)(ids)
    x = x * keras.ops.cast(keras.ops.expand_dims(ids != 0, -1), "float32")
    x = keras.ops.sum(x, axis=1) + keras.ops.sum(layers.Embedding(20, 3)(starts), axis=1)
    return keras.Model({"ids": ids, "starts": starts}, layers.Dense(2, name="logits")(x))


def test_unknown_length_names_the_remedy(tmp_path):
    """The converter would write 1 for the unknown length without a word."""
    with pytest.raises(ValueError, match=r"'ids'.*Give sequence_length"):
        export_tflite(open_length(), tmp_path / "s.tflite")


@pytest.mark.long_but_first
@pytest.mark.parametrize("kind", ["none", "array", "dataset"])
def test_sequence_length_fixes_every_open_dimension(kind, tmp_path):
    """Texts of real data are shorter than the file's length, and differ from batch to batch."""
    model = open_length()
    x = {
        "ids": np.random.default_rng(0).integers(1, 20, (6, 5)).astype("int32"),
        "starts": np.ones((6, 2), "int32"),
    }
    datasets = [tf.data.Dataset.from_tensors({k: v[:, :n] for k, v in x.items()}) for n in (5, 3)]
    data = {"none": None, "array": x, "dataset": datasets[0].concatenate(datasets[1])}[kind]
    path = tmp_path / "s.tflite"
    report = export_tflite(model, path, representative_data=data, sequence_length=8)
    assert report.num_examples == {"none": 32, "array": 6, "dataset": 12}[kind]
    runner = Interpreter(str(path)).get_signature_runner("serving_default")
    shapes = {name: list(detail["shape"]) for name, detail in runner.get_input_details().items()}
    assert shapes == {"ids": [1, 8], "starts": [1, 8]}
    padded = {k: np.pad(v[:1], [(0, 0), (0, 8 - v.shape[1])]) for k, v in x.items()}
    np.testing.assert_allclose(runner(**padded)["logits"], model(padded), atol=1e-6)


@pytest.mark.long_but_first
@pytest.mark.parametrize("quantization", ["none", "dynamic"])
def test_any_length(quantization, tmp_path):
    """The file is resized to each text."""
    model = open_length()
    path = tmp_path / "s.tflite"
    export_tflite(model, path, quantization=quantization, sequence_length="any")
    runner = Interpreter(str(path)).get_signature_runner("serving_default")
    generator = np.random.default_rng(0)
    for length in (1, 9, 40):
        x = {"ids": generator.integers(1, 20, (1, length)).astype("int32")}
        x["starts"] = np.ones((1, 3), "int32")
        atol = {"none": 1e-5, "dynamic": 2e-3}[quantization]
        np.testing.assert_allclose(runner(**x)["logits"], model(x), atol=atol)


def test_a_file_that_is_right_at_one_length_only_is_refused(tmp_path):
    """A length that tracing froze shows at the second one."""

    class FrozenMean(layers.Layer):
        def call(self, x):
            return keras.ops.sum(x, axis=1) / 32

        def compute_output_shape(self, input_shape):
            return (input_shape[0], input_shape[2])

    class Mean(FrozenMean):
        def call(self, x):
            return keras.ops.mean(x, axis=1) if tf.executing_eagerly() else super().call(x)

    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, Mean()(x))
    export_tflite(model, tmp_path / "fixed.tflite", sequence_length=32)
    with pytest.raises(ValueError, match="must agree with Keras"):
        export_tflite(model, tmp_path / "open.tflite", sequence_length="any")
    assert not (tmp_path / "open.tflite").exists()


def test_sequence_length_leaves_fixed_dimensions_alone(tmp_path):
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, layers.GlobalMaxPooling1D()(x))
    path = tmp_path / "s.tflite"
    export_tflite(model, path, sequence_length=4)
    runner = Interpreter(str(path)).get_signature_runner("serving_default")
    assert list(runner.get_input_details()["x"]["shape"]) == [1, 4, 3]


def test_longer_texts_than_sequence_length_are_refused(tmp_path):
    """Cut off silently, they would be compared as other texts."""
    x = {"ids": np.ones((3, 9), "int32"), "starts": np.ones((3, 2), "int32")}
    with pytest.raises(ValueError, match=r"'ids'.*\(None, 8\).*\(3, 9\)"):
        export_tflite(
            open_length(), tmp_path / "s.tflite", representative_data=x, sequence_length=8
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sequence_length", [0, 2.5, True, "all"])
def test_sequence_length_that_is_no_length_is_refused(sequence_length, tmp_path):
    with pytest.raises(ValueError, match=f"sequence_length={sequence_length!r}"):
        export_tflite(open_length(), tmp_path / "s.tflite", sequence_length=sequence_length)


def test_strings_are_refused(tmp_path):
    texts = keras.Input((), dtype="string", name="texts")
    vectorization = layers.TextVectorization(vocabulary=["a"], output_sequence_length=2)
    with pytest.raises(ValueError, match="tokenize outside"):
        export_tflite(keras.Model(texts, vectorization(texts)), tmp_path / "s.tflite")


def test_half_precision_names_the_remedy(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, dtype="mixed_float16")])
    with pytest.raises(ValueError, match=r"set_dtype_policy\('float32'\)"):
        export_tflite(model, tmp_path / "s.tflite")


def test_operations_that_tflite_lacks_are_named(tmp_path):
    """Allowing them instead gives a file that fails only on the phone."""
    x = keras.Input((4, 4))
    model = keras.Model(x, keras.ops.linalg.inv(x))
    with pytest.raises(ValueError, match="MatrixInverse"):
        export_tflite(model, tmp_path / "s.tflite")


def test_missing_interpreter_names_the_pip_command(tmp_path, monkeypatch):
    """A file that was never run must not be written."""
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        export_tflite(students_to_export.cnn(), tmp_path / "s.tflite")
    assert not list(tmp_path.iterdir())
