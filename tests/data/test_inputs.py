"""What a batch carries: each model its own view, y and weights as they were."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_distill import DistillationInputs
from keras_distill.data import pair_inputs
from keras_distill.data import with_example_index
from keras_distill.data.inputs import is_missing
from keras_distill.data.inputs import unpack

X = np.arange(12, dtype="float32").reshape(6, 2)
Y = np.arange(6)
WEIGHTS = np.linspace(0, 1, 6)


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("fields", [(X,), (X, Y), (X, Y, WEIGHTS)], ids=["x", "xy", "xyw"])
def test_pair_inputs(fields, batch_size):
    """Views that are swapped or out of order would teach noise."""
    dataset = tf.data.Dataset.from_tensor_slices(fields if len(fields) > 1 else X)
    if batch_size:
        dataset = dataset.batch(batch_size)
    paired = pair_inputs(dataset, student=lambda x: -x, teacher=lambda x: x * 2)
    for batch, original in zip(paired, dataset, strict=True):
        original = original if isinstance(original, tuple) else (original,)
        inputs, *rest = batch
        assert isinstance(inputs, DistillationInputs)
        np.testing.assert_array_equal(inputs.student, -original[0])
        np.testing.assert_array_equal(inputs.teacher, 2 * original[0])
        assert is_missing(inputs.teacher_outputs)
        for tensor, expected in zip(rest, original[1:], strict=True):
            np.testing.assert_array_equal(tensor, expected)


def test_pair_inputs_of_a_dataset_of_one_tuples():
    """`(x,)` is x without y."""
    dataset = tf.data.Dataset.from_tensor_slices((X,)).batch(6)
    ((inputs,),) = pair_inputs(dataset, student=tf.negative)
    np.testing.assert_array_equal(inputs.student, -X)
    np.testing.assert_array_equal(inputs.teacher, X)


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_one_view_only(side):
    """The other model reads x as it is."""
    (inputs,) = next(iter(pair_inputs(tf.data.Dataset.from_tensors((X,)), **{side: tf.negative})))
    views = {"student": X, "teacher": X, side: -X}
    np.testing.assert_array_equal(inputs.student, views["student"])
    np.testing.assert_array_equal(inputs.teacher, views["teacher"])


def test_strings_and_dicts():
    """Text for a teacher with a tokenizer of its own, word ids for the student."""
    texts = np.array(["a b", "b b c", ""])
    vectorization = keras.layers.TextVectorization(output_sequence_length=3, vocabulary=["a", "b"])
    dataset = tf.data.Dataset.from_tensor_slices((texts, [0, 1, 0])).batch(2)
    paired = pair_inputs(
        dataset,
        student=vectorization,
        teacher=lambda x: {"text": x, "length": tf.strings.length(x)},
    )
    (first, y), (last, _) = list(paired)
    np.testing.assert_array_equal(first.student, [[2, 3, 0], [3, 3, 1]])
    assert first.teacher["text"].numpy().tolist() == [b"a b", b"b b c"]
    np.testing.assert_array_equal(first.teacher["length"], [3, 5])
    np.testing.assert_array_equal(y, [0, 1])
    np.testing.assert_array_equal(last.student, [[0, 0, 0]])


def test_dict_inputs():
    """x itself may be a dict; it is not taken for a batch of several fields."""
    dataset = tf.data.Dataset.from_tensor_slices(({"a": X, "b": Y}, Y)).batch(6)
    ((inputs, _),) = pair_inputs(dataset, student=lambda x: x["a"], teacher=lambda x: x["b"])
    np.testing.assert_array_equal(inputs.student, X)
    np.testing.assert_array_equal(inputs.teacher, Y)


def test_bare_tensor_of_rank_above_one_is_not_unpacked():
    """A dataset of x alone yields a tensor, which could be iterated over."""
    paired = list(pair_inputs(tf.data.Dataset.from_tensors(X)))
    assert len(paired) == 1
    np.testing.assert_array_equal(paired[0][0].student, X)


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_view_must_be_a_function(side):
    """A string or a tensor in its place would fail deep inside tf.data."""
    with pytest.raises(ValueError, match=f"{side} must be a function.*Received: {side}='bert'"):
        pair_inputs(tf.data.Dataset.from_tensors(X), **{side: "bert"})


@pytest.mark.parametrize("with_labels", [False, True])
def test_pairing_twice(with_labels):
    """The second pairing would hand the first's pair to both models."""
    dataset = tf.data.Dataset.from_tensors((X, Y) if with_labels else (X,))
    paired = pair_inputs(dataset, teacher=tf.negative)
    with pytest.raises(ValueError, match="already yields DistillationInputs"):
        pair_inputs(paired, student=tf.negative)


def test_bare_pairs_are_not_paired_again():
    """A dataset whose elements are DistillationInputs: three fields, no y and no weights."""
    bare = tf.data.Dataset.from_tensors(DistillationInputs(X, X, X))
    with pytest.raises(ValueError, match="already yields DistillationInputs"):
        pair_inputs(bare, student=tf.negative)


class TestWithExampleIndex:
    @pytest.mark.parametrize("fields", [(X,), (X, Y), (X, Y, WEIGHTS)], ids=["x", "xy", "xyw"])
    def test_number_goes_with_the_example(self, fields):
        """A number that stays in its place while the examples are shuffled says nothing."""
        dataset = tf.data.Dataset.from_tensor_slices(fields)
        for epoch in range(2):
            for inputs, *rest in with_example_index(dataset).shuffle(6, seed=epoch).batch(4):
                index = inputs.example_index.numpy()
                np.testing.assert_array_equal(inputs.student, X[index])
                assert is_missing((inputs.teacher, inputs.teacher_outputs))
                for tensor, expected in zip(rest, fields[1:], strict=True):
                    np.testing.assert_array_equal(tensor, expected[index])

    @pytest.mark.parametrize("x", [X, {"a": X, "b": Y}], ids=["tensor", "dict"])
    def test_x_alone(self, x):
        """A bare tensor could be iterated over, a dict taken for a batch of fields."""
        dataset = with_example_index(tf.data.Dataset.from_tensor_slices(x)).batch(6)
        ((inputs,),) = dataset
        keras.tree.map_structure(np.testing.assert_array_equal, inputs.student, x)
        np.testing.assert_array_equal(inputs.example_index, range(6))

    @pytest.mark.parametrize("with_labels", [False, True])
    def test_paired_inputs_keep_their_views(self, with_labels):
        """`pair_inputs` comes first."""
        fields = (X, Y) if with_labels else (X,)
        paired = pair_inputs(tf.data.Dataset.from_tensor_slices(fields), teacher=tf.negative)
        ((inputs, *rest),) = with_example_index(paired).batch(6)
        np.testing.assert_array_equal(inputs.student, X)
        np.testing.assert_array_equal(inputs.teacher, -X)
        np.testing.assert_array_equal(inputs.example_index, range(6))
        assert len(rest) == with_labels

    def test_bare_inputs(self):
        """A dataset whose elements are DistillationInputs: a tuple, but not of x and y."""
        bare = tf.data.Dataset.from_tensor_slices(DistillationInputs(X, -X))
        ((inputs,),) = with_example_index(bare).batch(6)
        np.testing.assert_array_equal(inputs.teacher, -X)
        np.testing.assert_array_equal(inputs.example_index, range(6))

    def test_numbering_twice(self):
        """After a shuffle the second numbers would be others, in every epoch."""
        dataset = with_example_index(tf.data.Dataset.from_tensor_slices((X, Y)))
        with pytest.raises(ValueError, match="already has an example_index"):
            with_example_index(dataset)


class TestUnpack:
    PAIR = DistillationInputs(student=X, teacher=-X, teacher_outputs=Y)

    @pytest.mark.parametrize("x", [X, {"a": X, "b": Y}, PAIR], ids=["array", "dict", "pair"])
    @pytest.mark.parametrize("rest", [(), (Y,), (Y, WEIGHTS)], ids=["x", "xy", "xyw"])
    def test_batches(self, x, rest):
        """What is missing is None; plain x is the student's, and so the teacher's."""
        inputs, y, sample_weight = unpack((x, *rest))
        expected = x if isinstance(x, DistillationInputs) else DistillationInputs(x)
        for field, value in zip(inputs, expected):
            assert field is value
        padded = (*rest, None, None)
        assert y is padded[0]
        assert sample_weight is padded[1]

    def test_bare_pair(self):
        """A tuple of three itself: Keras would take the teacher's inputs for labels."""
        inputs, y, sample_weight = unpack(self.PAIR)
        assert inputs is self.PAIR
        assert y is None
        assert sample_weight is None

    def test_bare_x(self):
        """A dataset of x alone."""
        inputs, y, sample_weight = unpack(X)
        assert inputs.student is X
        assert is_missing((inputs.teacher, inputs.teacher_outputs))
        assert (y, sample_weight) == (None, None)

    def test_bare_pair_from_a_dataset(self):
        """tf.data keeps the type."""
        (batch,) = tf.data.Dataset.from_tensors(self.PAIR)
        inputs, y, _ = unpack(batch)
        np.testing.assert_array_equal(inputs.teacher, -X)
        assert y is None


@pytest.mark.parametrize("field", [None, (), [], {}, (None, None), {"a": None}], ids=repr)
def test_missing_fields(field):
    """A PyDataset cannot carry None, so an empty tuple counts as one."""
    assert is_missing(field)


@pytest.mark.parametrize(
    "field", [X, np.zeros(0), 0, [None, X], {"a": X}, tf.zeros((0, 2))], ids=lambda f: type(f)
)
def test_fields_that_are_there(field):
    """Empty or zero is there."""
    assert not is_missing(field)


def test_defaults():
    """Only the student's inputs are needed."""
    inputs = DistillationInputs(X)
    assert is_missing(inputs.teacher)
    assert is_missing(inputs.teacher_outputs)
    assert not is_missing(inputs.student)
