import keras
import numpy as np
import pytest
import students_to_export
import tensorflow as tf
from keras import layers

import keras_distill as kd
from keras_distill.export import parity
from keras_distill.export.check_inputs import examples_for_check
from keras_distill.export.check_inputs import generate_inputs
from keras_distill.export.signature import NamedModel


def one_output(expected, actual):
    (output,) = parity.compare_outputs({"y": np.array(expected)}, {"y": np.array(actual)})
    return output


def test_difference_is_measured_on_each_output_by_itself():
    """The large values of one output must not excuse the error of another."""
    expected = {"big": np.array([[1e6, 0.0]]), "small": np.array([[0.5]])}
    actual = {"big": np.array([[1e6, 0.0]]), "small": np.array([[0.6]])}
    by_name = {output.name: output for output in parity.compare_outputs(expected, actual)}
    assert by_name["big"].is_close(1e-5)
    assert not by_name["small"].is_close(1e-5)
    assert by_name["small"].max_difference == pytest.approx(0.1)


def test_tolerance_is_a_share_of_the_largest_value():
    """Of outputs that are all below 1e-5 any other would pass."""
    assert one_output([[100.0]], [[100.009]]).is_close(1e-4)
    assert not one_output([[1e-5]], [[0.0]]).is_close(1e-4)


def test_a_dead_column_beside_a_large_one_shows():
    """One range for both: beside 1e4 all of 0 to 1 is one step of 8 bits."""
    generator = np.random.default_rng(0)
    expected = np.stack([generator.uniform(0, 1e4, 50), generator.uniform(0, 1, 50)], axis=1)
    actual = np.stack([expected[:, 0] + 1, np.zeros(50)], axis=1)
    (output,) = parity.compare_outputs({"y": expected}, {"y": actual})
    assert output.relative_difference < 2e-4
    assert output.worst_column == 1
    assert output.column_error > 1
    np.testing.assert_allclose(
        parity.column_errors(expected, expected + np.std(expected, axis=0) / 4), [0.25, 0.25], 1e-3
    )


def test_a_constant_column_has_no_error_of_its_own():
    """Noise of rounding would be any share of a deviation of 0."""
    expected = np.array([[1.0, 5.0], [2.0, 5.0]])
    errors = parity.column_errors(expected, expected + np.array([[0, 1e-7], [0, -1e-7]]))
    assert errors.tolist() == [0, 0]


def test_top1_agreement_counts_rows():
    output = one_output([[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [0.4, 0.6]])
    assert (output.top1_agreement, output.num_rows) == (0.5, 2)


def test_single_logit_has_no_top1():
    """The argmax over one class always agrees: it would look like a perfect figure."""
    assert one_output([[0.3], [0.4]], [[0.9], [0.1]]).top1_agreement is None


def test_relative_difference_is_a_share_of_the_range():
    assert one_output([[-1.0, 3.0]], [[-1.0, 2.0]]).relative_difference == 0.25
    assert one_output([[2.0]], [[2.0]]).relative_difference == 0.0
    assert one_output([[2.0]], [[2.5]]).relative_difference == np.inf


def test_integers_must_be_equal_however_large():
    """1e-4 of a token id of 30000 would let a neighbouring token pass."""
    output = one_output([30000, 7], [30001, 7])
    assert not output.is_close(1e-4)
    assert output.top1_agreement == 0.5


def test_strings_are_compared():
    same = np.array([b"yes", b"no"], dtype=object)
    other = np.array([b"yes", b"yes"], dtype=object)
    assert parity.compare_outputs({"y": same}, {"y": same})[0].is_close(0)
    assert not parity.compare_outputs({"y": same}, {"y": other})[0].is_close(0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(value):
    """max(nan, x) and nan <= limit are no alarm by themselves."""
    with pytest.raises(ValueError, match="exported model gives NaN"):
        one_output([[1.0]], [[value]])


def test_bfloat16_is_a_float():
    """numpy does not know it as one: it would be taken for labels, and NaN for a value."""
    values = keras.ops.convert_to_numpy(keras.ops.ones((1, 2), "bfloat16"))
    assert parity.compare_outputs({"y": values}, {"y": values})[0].is_float
    with pytest.raises(ValueError, match="NaN"):
        parity.check_finite("model", {"y": values * np.float32(np.nan).astype(values.dtype)})


def test_other_names_and_shapes_are_refused():
    with pytest.raises(ValueError, match="has the outputs"):
        parity.compare_outputs({"a": np.ones(1)}, {"b": np.ones(1)})
    with pytest.raises(ValueError, match="shape"):
        one_output([[1.0]], [[1.0], [1.0]])


def test_generated_ids_come_from_the_whole_vocabulary_and_from_nothing_else():
    """Ids of 0 and 1 alone would compare two rows of an embedding of thousands."""
    ids = keras.Input((50,))  # Keras's default: float32.
    model = NamedModel(keras.Model(ids, layers.Embedding(40, 2)(ids)))
    values = generate_inputs(model, 20)["inputs"]
    assert set(np.unique(values)) == set(range(40))
    assert values.dtype == "float32"


def test_generated_rows_of_integers_never_mask_everything():
    """The mean over no token is NaN in Keras itself."""
    mask = keras.Input((2,), dtype="int32")
    values = generate_inputs(NamedModel(keras.Model(mask, mask * 1)), 64)["inputs"]
    assert set(np.unique(values)) == {0, 1}
    assert values.max(axis=1).min() == 1


def test_generated_inputs_are_the_same_each_time():
    model = NamedModel(students_to_export.cnn())
    first, second = (generate_inputs(model, 2)["image"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", ["array", "x", "x, y", "paired"])
def test_real_inputs_are_taken_as_fit_takes_them(kind):
    """Labels, or the teacher's inputs, must not be compared in place of the inputs."""
    x, y = np.arange(28.0).reshape(7, 4).astype("float32"), np.arange(7)
    data = {
        "array": lambda: x,
        "x": lambda: tf.data.Dataset.from_tensor_slices(x).batch(2),
        "x, y": lambda: tf.data.Dataset.from_tensor_slices((x, y)).batch(2),
        "paired": lambda: kd.data.pair_inputs(
            tf.data.Dataset.from_tensor_slices((x, y)), teacher=lambda x: x * 0
        ).batch(2),
    }[kind]()
    model = NamedModel(students_to_export.random_at_inference())
    inputs, labels = examples_for_check(model, data, 9, max_examples=5)
    rows = inputs["x"][:, 0].astype(int) // 4
    assert rows.tolist() == sorted(set(rows))
    np.testing.assert_array_equal(inputs["x"], x[rows])
    if kind in ("x, y", "paired"):
        np.testing.assert_array_equal(labels, rows)
    else:
        assert labels is None


@pytest.mark.parametrize("order", ["sorted", "in turn"])
@pytest.mark.parametrize("kind", ["array", "dataset", "endless"])
def test_examples_are_drawn_from_all_classes(kind, order):
    """The first hundred of sorted data are of one class, and so is each tenth of ten in turn."""
    classes = np.arange(4000) // 400 if order == "sorted" else np.arange(4000) % 10
    x = np.repeat(classes[:, None], 4, axis=1).astype("float32")
    data = x if kind == "array" else tf.data.Dataset.from_tensor_slices(x).batch(64)
    data = data.repeat() if kind == "endless" else data
    model = NamedModel(students_to_export.random_at_inference())
    inputs, _ = examples_for_check(model, data, 9, max_examples=100)
    counts = np.bincount(inputs["x"][:, 0].astype(int))
    assert counts.sum() == 100
    assert counts.min() >= 1
    assert len(counts) == 10


def test_no_data_is_refused():
    """Nothing compared is nothing different: every file would pass."""
    model = NamedModel(students_to_export.random_at_inference())
    with pytest.raises(ValueError, match="at least one example"):
        examples_for_check(model, np.ones((0, 4)), 9, max_examples=5)


def test_model_that_fails_on_generated_inputs_asks_for_real_ones():
    class Strict(layers.Layer):
        def call(self, x):
            tf.debugging.assert_greater(x, 100.0)
            return x

    x = keras.Input((2,))
    model = NamedModel(keras.Model(x, Strict()(x)))
    with pytest.raises(ValueError, match="representative_data"):
        parity.keras_outputs(model, generate_inputs(model, 1))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([1, 0, -1]), [1, 0, -1]),
        (np.array([[1.0], [0.0], [-1.0]]), [1, 0, -1]),
        (np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), [1, 0, 1]),
        (np.array([[False, True], [True, False], [False, True]]), [1, 0, 1]),
        (np.array([[1, 1], [1, 0], [0, 1]]), None),
        (np.array([[0.1, 0.9], [1.0, 0.0], [0.0, 1.0]]), None),
        (np.array([0.5, 1.0, 0.0]), None),
        (np.array(["a", "b", "a"]), None),
        (np.array([-1, -1, -1]), None),
    ],
    ids=["indices", "floats", "one-hot", "bools", "several", "soft", "ratings", "names", "none"],
)
def test_labels_that_are_classes(labels, classes):
    """One-hot rows and whole floats left the report without an accuracy."""
    found = parity.labels_of_rows(labels, {"logits": np.zeros((3, 2))})
    assert (found if found is None else found.tolist()) == classes
