"""The modes of quantization, each on every kind of student that it can carry."""

import keras
import numpy as np
import pytest
import students_to_export
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from keras_distill import export_tflite
from keras_distill.export import ImageMetadata
from keras_distill.export.check_inputs import generate_inputs
from keras_distill.export.signature import NamedModel
from keras_distill.export.tflite import calibration
from keras_distill.export.tflite import conversion

MODELS = [
    students_to_export.cnn,
    students_to_export.text_cnn,
    students_to_export.unrolled_bilstm,
    students_to_export.transformer,
    students_to_export.two_in_two_out,
]


def real_inputs(model, num_examples=300):
    return generate_inputs(NamedModel(model), num_examples, seed=7)


def weight_dtypes(path):
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    return {detail["dtype"] for detail in interpreter.get_tensor_details()}


@pytest.mark.long_but_first
@pytest.mark.parametrize("quantization", ["float16", "int8", "int4"])
@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_every_mode_carries_every_kind_of_student(build, quantization, tmp_path):
    model = build()
    # Untrained, their classes are near ties, which 4 bits decide anew.
    data = None if quantization == "int4" else real_inputs(model)
    report = export_tflite(
        model, tmp_path / "s.tflite", quantization=quantization, representative_data=data
    )
    assert report.select_tf_ops == ()
    assert report.num_examples == (32 if data is None else 100)
    assert report.num_calibrated == (200 if quantization == "int8" else 0)


def wide(inputs=64):
    x = keras.Input((inputs,), name="x")
    return keras.Model(x, layers.Dense(10, name="logits")(layers.Dense(400)(x)))


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    ("quantization", "share", "dtype"),
    [
        ("float16", 0.5, np.float16),
        ("dynamic", 0.25, np.int8),
        ("int8", 0.25, np.int8),
        ("int16x8", 0.25, np.int8),
        ("int4", 0.125, np.int8),
    ],
)
def test_sizes_are_those_of_the_bits(quantization, share, dtype, tmp_path):
    """A mode that the converter ignores gives a float32 file without a word."""
    model = wide(256)
    none = export_tflite(model, tmp_path / "none.tflite")
    report = export_tflite(
        model,
        tmp_path / "s.tflite",
        quantization=quantization,
        representative_data=real_inputs(model),
    )
    assert 0.9 * share < report.num_bytes / none.num_bytes < 1.1 * share + 0.02
    if quantization != "int4":
        assert dtype in weight_dtypes(report.path)
    assert report.max_difference > none.max_difference


def test_integer_io(tmp_path):
    """For hardware without floats; the report compares floats all the same."""
    model = wide()
    x = real_inputs(model)
    reports = {
        integer_io: export_tflite(
            model,
            tmp_path / f"{integer_io}.tflite",
            quantization="int8",
            representative_data=x,
            integer_io=integer_io,
        )
        for integer_io in (True, False)
    }
    for integer_io, dtype in ((True, np.int8), (False, np.float32)):
        interpreter = Interpreter(str(reports[integer_io].path))
        assert interpreter.get_input_details()[0]["dtype"] == dtype
        assert interpreter.get_output_details()[0]["dtype"] == dtype
    assert reports[True].max_difference < 2 * reports[False].max_difference


def test_batches_of_four(tmp_path):
    model = students_to_export.cnn()
    x = real_inputs(model, 65)
    report = export_tflite(
        model, tmp_path / "s.tflite", quantization="int8", representative_data=x, batch_size=4
    )
    interpreter = Interpreter(str(report.path))
    assert interpreter.get_input_details()[0]["shape"].tolist() == [4, 12, 12, 1]
    assert (report.num_calibrated, report.num_examples) == (44, 21)


@pytest.mark.long
def test_both_accuracies_of_labelled_data(tmp_path):
    model = wide()
    x = real_inputs(model, 64)["x"]
    answers = model(x).numpy().argmax(-1)
    labels = np.where(np.arange(64) < 48, answers, (answers + 1) % 10)
    data = tf.data.Dataset.from_tensor_slices((x, labels)).batch(16)
    report = export_tflite(model, tmp_path / "s.tflite", representative_data=data)
    assert (report.keras_accuracy, report.accuracy) == (0.75, 0.75)
    # A column of them, and -1 for none.
    some = np.where(np.arange(64) % 2, labels, -1)[:, None]
    data = tf.data.Dataset.from_tensor_slices((x, some)).batch(16)
    report = export_tflite(model, tmp_path / "s.tflite", representative_data=data)
    assert (report.keras_accuracy, report.accuracy) == (0.75, 0.75)
    # One-hot rows left the accuracy out.
    data = tf.data.Dataset.from_tensor_slices((x, np.eye(10, dtype="float32")[labels])).batch(16)
    report = export_tflite(model, tmp_path / "s.tflite", representative_data=data)
    assert (report.keras_accuracy, report.accuracy) == (0.75, 0.75)
    data = tf.data.Dataset.from_tensor_slices((x, labels + 1)).batch(16)
    with pytest.raises(ValueError, match=r"classes, from 0 to 9.*Received: a label of 10"):
        export_tflite(model, tmp_path / "s.tflite", representative_data=data)
    unlabelled = export_tflite(model, tmp_path / "s.tflite", representative_data=x)
    assert unlabelled.accuracy is unlabelled.keras_accuracy is None


@pytest.mark.parametrize(
    ("activation", "loss", "dtype", "is_known"),
    [
        ("sigmoid", None, "float32", True),
        ("sigmoid", None, "bool", True),
        (None, None, "int64", True),
        (None, "binary_crossentropy", "float32", True),
        (None, "mse", "float32", False),
    ],
)
def test_both_accuracies_of_one_output(activation, loss, dtype, is_known, tmp_path):
    """A model that ends in one logit or one sigmoid had none."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(1, activation)(inputs))
    if loss is not None:
        model.compile(loss=loss)
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    answers = model(x).numpy()[:, 0] > (0.5 if activation else 0)
    labels = np.where(np.arange(64) < 48, answers, ~answers).astype(dtype)
    for y in (labels, labels[:, None]):
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
        report = export_tflite(model, tmp_path / "s.tflite", representative_data=data)
        found = (0.75, 0.75) if is_known else (None, None)
        assert (report.keras_accuracy, report.accuracy) == found
    for y in (np.arange(64), 2 * (np.arange(64) % 2) - 1):
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
        assert (
            export_tflite(model, tmp_path / "s.tflite", representative_data=data).accuracy is None
        )


def test_select_tf_ops_are_named(tmp_path):
    x = keras.Input((4, 4), name="x")
    model = keras.Model(x, keras.ops.linalg.inv(x + 4 * np.eye(4, dtype="float32")))
    with pytest.raises(ValueError, match=r"none for: .*MatrixInverse.*\. Replace the layers"):
        export_tflite(model, tmp_path / "s.tflite")
    with pytest.warns(UserWarning, match="unchecked: its operations FlexMatrixInverse need"):
        report = export_tflite(model, tmp_path / "s.tflite", allow_select_tf_ops=True)
    assert report.select_tf_ops == ("FlexMatrixInverse",)
    assert report.max_difference is None
    assert report.path.stat().st_size == report.num_bytes


def test_layers_with_operations_of_strings_are_named(tmp_path):
    def as_text_and_back(x):
        return tf.strings.to_number(tf.strings.as_string(x))

    x = keras.Input((4,), name="x")
    texts = layers.Lambda(as_text_and_back, output_shape=(4,), name="texts")(x)
    with pytest.raises(ValueError, match=r"AsString \(in \S*/texts\w*\), StringToNumber \(in "):
        export_tflite(keras.Model(x, layers.Dense(2)(texts)), tmp_path / "s.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_crash_of_the_converter_is_an_error(tmp_path):
    """Calibrating a loop aborts the process: a user's session with an hour's training in it."""
    model = students_to_export.bilstm()
    with pytest.raises(RuntimeError, match=r"converter crashed \(SIG"):
        conversion.convert_model(
            NamedModel(model),
            real_inputs(model),
            quantization="int8",
            batch_size=1,
            integer_io=False,
            allow_select_tf_ops=False,
        )
    report = export_tflite(model, tmp_path / "s.tflite")
    assert report.num_bytes > 0


def on_pixels():
    """Reads pixels: a Rescaling is the first layer that computes, in a model within."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1)(layers.Resizing(8, 8)(image))
    x = layers.Flatten()(layers.Conv2D(8, 3, activation="relu")(x))
    inner = keras.Model(image, layers.Dense(4, name="logits")(x))
    outer = keras.Input((8, 8, 3), name="image")
    return keras.Model(outer, inner(outer))


def images(num_examples=60, largest=255):
    return np.random.default_rng(0).uniform(0, largest, (num_examples, 8, 8, 3)).astype("float32")


class TestWhatCalibrates:
    """A check on the rows that calibrated a file, or on rows that are all one, cannot fail."""

    @pytest.mark.long
    def test_a_column_that_the_range_of_another_hides_is_refused(self, tmp_path):
        """8 bits for 0 to 1e4: what goes from 0 to 1 becomes a constant."""
        x = keras.Input((6,), name="x")
        model = keras.Model(x, layers.Dense(2, name="scores")(x))
        kernel, bias = model.get_weights()
        model.set_weights([kernel * [1e4, 1], bias])
        data = np.random.default_rng(0).uniform(0, 1, (300, 6))
        settings = {"quantization": "int8", "representative_data": data}
        with pytest.raises(ValueError, match=r"Each column.*column 1 of the last axis.*an output"):
            export_tflite(model, tmp_path / "s.tflite", **settings)
        assert not list(tmp_path.iterdir())
        model.set_weights([kernel, bias])
        report = export_tflite(model, tmp_path / "s.tflite", **settings)
        assert 0 < report.max_column_error < 0.05
        assert (report.num_calibrated, report.num_examples, report.notes) == (200, 100, ())

    def test_rows_that_calibrate_are_not_those_that_check(self, tmp_path):
        inputs = {"x": np.repeat(np.arange(30.0), 3)[:, None]}
        calibrating, checking, labels = calibration.split(inputs, np.arange(90), {}, "int8")
        both = np.concatenate([calibrating["x"], checking["x"]])[:, 0]
        assert sorted(both) == list(range(30))
        assert len(checking["x"]) == 10
        np.testing.assert_array_equal(labels // 3, checking["x"][:, 0])

    def test_the_ends_of_an_output_calibrate(self, tmp_path):
        """A file clips what is beyond; of 300 examples, 100 check, among them the ends at times."""
        keras.utils.set_random_seed(4)
        x = keras.Input((4, 8))
        hidden = layers.TimeDistributed(layers.Dense(6, activation="relu"))(x)
        model = keras.Model(x, layers.Dense(1)(layers.Flatten()(hidden)))
        data = np.random.default_rng(4).normal(size=(300, 4, 8)).astype("float32")
        settings = {"quantization": "int8", "representative_data": data}
        report = export_tflite(model, tmp_path / "s.tflite", **settings)
        assert report.max_relative_difference < 0.05

    @pytest.mark.parametrize("value", ["zeros", "one image", "hardly different"])
    def test_examples_that_are_alike_are_refused(self, value, tmp_path):
        data = images()
        data = {
            "zeros": data * 0,
            "one image": np.repeat(data[:1], 60, axis=0),
            "hardly different": data[:1] + data * 1e-4,
        }[value]
        x = keras.Input((8, 8, 3))
        model = keras.Model(x, layers.Dense(2)(layers.Flatten()(x)))
        with pytest.raises(ValueError, match=r"examples that differ.*Received: 60 examples"):
            export_tflite(
                model, tmp_path / "s.tflite", quantization="int8", representative_data=data
            )

    @pytest.mark.parametrize("quantization", ["none", "int8"])
    @pytest.mark.parametrize("largest", [0, 1, 5000])
    def test_what_are_no_pixels_is_refused(self, largest, quantization, tmp_path):
        """Divided by 255 already: black, for a model that divides."""
        with pytest.raises(ValueError, match=r"pixels from 0 to 255, by the Rescaling"):
            export_tflite(
                on_pixels(),
                tmp_path / "s.tflite",
                quantization=quantization,
                representative_data=images(largest=largest),
            )

    def test_what_are_no_pixels_for_an_app_is_refused(self, tmp_path):
        x = keras.Input((8, 8, 3))
        model = keras.Model(x, layers.Dense(2)(layers.Flatten()(x)))
        for metadata, largest in (
            (ImageMetadata(["a", "b"]), 1),
            (ImageMetadata(["a", "b"], mean=127.5, std=127.5), 255),
        ):
            with pytest.raises(ValueError, match=r"pixels from 0 to 255, by mean=.* and std="):
                export_tflite(
                    model,
                    tmp_path / "s.tflite",
                    metadata=metadata,
                    representative_data=images(largest=largest),
                )

    def test_pixels_are_made_up_for_models_that_read_them(self):
        """Noise around 0 is black to them."""
        (values,) = generate_inputs(NamedModel(on_pixels()), 50).values()
        assert 0 <= values.min() < 10
        assert 245 < values.max() <= 255
        x = keras.Input((2,))
        normalization = layers.Normalization(mean=[100.0, 0.0], variance=[4.0, 1.0])
        model = keras.Model(x, layers.Dense(2)(normalization(x)))
        (values,) = generate_inputs(NamedModel(model), 500).values()
        np.testing.assert_allclose(values.mean(axis=0), [100, 0], atol=0.4)
        np.testing.assert_allclose(values.std(axis=0), [2, 1], rtol=0.2)

    def test_a_model_in_another_with_the_same_input(self, tmp_path):
        """As every classifier of KerasHub is: its input is its backbone's own."""
        x = keras.Input((8, 8, 3))
        backbone = keras.Model(x, layers.Flatten()(layers.Rescaling(1 / 255)(x)))
        model = keras.Model(backbone.input, layers.Dense(2)(backbone(backbone.input)))
        (values,) = generate_inputs(NamedModel(model), 50).values()
        assert 0 <= values.min() < 10
        assert 245 < values.max() <= 255
        report = export_tflite(model, tmp_path / "s.tflite", representative_data=images())
        assert report.max_difference < 1e-5

    def test_few_examples_and_one_class_are_said(self, tmp_path):
        model = wide()
        kernel, bias = model.layers[-1].get_weights()
        model.layers[-1].set_weights([kernel, bias + 100 * (np.arange(10) == 3)])
        settings = {"quantization": "int8", "tolerance": 1.0}
        with pytest.warns(UserWarning, match="calibrated on 18 examples and checked on 9 others"):
            report = export_tflite(
                model, tmp_path / "s", representative_data=real_inputs(model, 27), **settings
            )
        assert len(report.notes) == 1
        with pytest.warns(UserWarning, match="the largest value of all 50 examples .* in column 3"):
            export_tflite(
                model, tmp_path / "s", representative_data=real_inputs(model, 150), **settings
            )


class MixTokens(layers.Layer):
    """A weight on the left of a product, as the relative positions of DeBERTa."""

    def build(self, shape):
        self.mixing = self.add_weight(shape=(shape[1], shape[1]), name="mixing")

    def call(self, x):
        return keras.ops.matmul(self.mixing, x)


@pytest.mark.long_but_first
@pytest.mark.parametrize("quantization", ["dynamic", "int4"])
def test_a_weight_on_the_left_of_a_product(quantization, tmp_path):
    """No kernel takes 8 bits on that side: the file did not run."""
    x = keras.Input((16, 64), name="x")
    mixed = layers.Dense(64)(MixTokens()(x))
    model = keras.Model(x, layers.Dense(8)(layers.GlobalAveragePooling1D()(mixed)))
    report = export_tflite(model, tmp_path / "s.tflite", quantization=quantization)
    none = export_tflite(model, tmp_path / "none.tflite")
    assert report.max_relative_difference < {"dynamic": 0.03, "int4": 0.3}[quantization]
    assert report.num_bytes < 0.6 * none.num_bytes


class TestBadInput:
    """Refused before anything is converted."""

    @pytest.mark.parametrize("quantization", ["int8", "int16x8"])
    def test_calibration_without_data(self, quantization, tmp_path):
        with pytest.raises(ValueError, match=r"give real inputs as representative_data"):
            export_tflite(wide(), tmp_path / "s.tflite", quantization=quantization)

    def test_calibration_of_a_loop(self, tmp_path):
        model = students_to_export.bilstm()
        with pytest.raises(ValueError, match=r"lstm.*unroll=True.*quantization='dynamic'"):
            export_tflite(
                model,
                tmp_path / "s.tflite",
                quantization="int8",
                representative_data=real_inputs(model),
            )

    def test_int16x8_embeddings(self, tmp_path):
        model = students_to_export.text_cnn()
        with pytest.raises(ValueError, match=r"int16x8.*embedding.*'int8' or 'dynamic'"):
            export_tflite(
                model,
                tmp_path / "s.tflite",
                quantization="int16x8",
                representative_data=real_inputs(model),
            )

    def test_integer_io_without_integers(self, tmp_path):
        with pytest.raises(ValueError, match=r"integer_io=True.*'int8' or 'int16x8'.*'dynamic'"):
            export_tflite(wide(), tmp_path / "s.tflite", quantization="dynamic", integer_io=True)

    @pytest.mark.parametrize("tolerance", [-0.1, float("nan"), "0.1"], ids=repr)
    def test_tolerance(self, tolerance, tmp_path):
        with pytest.raises(ValueError, match="tolerance must be"):
            export_tflite(wide(), tmp_path / "s.tflite", tolerance=tolerance)

    @pytest.mark.parametrize("batch_size", [0, 1.5])
    def test_batch_size(self, batch_size, tmp_path):
        with pytest.raises(ValueError, match="batch_size must be"):
            export_tflite(wide(), tmp_path / "s.tflite", batch_size=batch_size)

    def test_stateful_layers(self, tmp_path):
        x = keras.Input((5, 3), batch_size=1, name="x")
        model = keras.Model(x, layers.LSTM(4, stateful=True, name="memory")(x))
        with pytest.raises(ValueError, match=r"keeps no state.*memory.*stateful=False"):
            export_tflite(model, tmp_path / "s.tflite")


def image_model():
    image = keras.Input((8, 8, 1), name="image")
    features = layers.Dense(400, name="hidden")(layers.Flatten()(image))
    return keras.Model(image, layers.Dense(3, name="logits")(features))


def around_another_model():
    x = keras.Input((8, 8, 1), name="image")
    return keras.Model(x, layers.Dense(3, name="logits")(image_model()(x)))


@pytest.mark.long_but_first
@pytest.mark.parametrize("build", [image_model, around_another_model])
@pytest.mark.parametrize("metadata", [None, ImageMetadata(["a", "b", "c"], mean=0.0, std=1.0)])
def test_a_tighter_tolerance_refuses_and_names_the_layer(build, metadata, tmp_path):
    """Without a place to look at, a refused file is a dead end."""
    with pytest.raises(
        ValueError, match=r"agree with Keras to.*furthest from Keras: '(logits|hidden|flatten.*)'"
    ):
        export_tflite(
            build(),
            tmp_path / "s.tflite",
            quantization="int8",
            representative_data=np.random.default_rng(0).uniform(0, 255, (60, 8, 8, 1)),
            metadata=metadata,
            tolerance=0.0,
        )
    assert not list(tmp_path.iterdir())
