"""Examples: indexing, adding, datasets."""

import numpy as np
import pytest
import tensorflow as tf

from keras_distill.text import Examples
from keras_distill.text import from_lists

CLASSES = from_lists(["a", "b", "c"], ["x", "y", "x"])
PAIRS = from_lists([("a", "b"), ("c", "d")], ["x", "y"])
WORDS = from_lists([["a"], ["b", "c"]], [["O"], ["B", "O"]], tags=True)
REGRESSION = from_lists(["a", "b"], [0.5, 1.5])


@pytest.mark.parametrize(
    "index", [slice(1, None), [1, 2], np.array([1, 2]), np.array([False, True, True])]
)
def test_index(index):
    part = CLASSES[index]
    assert part.texts.tolist() == ["b", "c"]
    assert part.labels.tolist() == [1, 0]
    assert part.class_names == ("x", "y")


def test_index_of_one():
    """Still examples, with an axis."""
    assert CLASSES[-1].texts.tolist() == ["c"]
    assert PAIRS[1].texts.tolist() == [["c", "d"]]


def test_index_of_unlabelled():
    assert from_lists(["a", "b"])[:1].labels is None


class TestAdd:
    def test_labelled(self):
        both = CLASSES + CLASSES[:1]
        assert both.texts.tolist() == ["a", "b", "c", "a"]
        assert both.labels.tolist() == [0, 1, 0, 0]

    @pytest.mark.parametrize("is_first", [True, False])
    def test_unlabelled(self, is_first):
        """They get -1, and the dtype stays."""
        unlabelled = from_lists(["d"])
        both = unlabelled + CLASSES if is_first else CLASSES + unlabelled
        assert both.labels.tolist() == ([-1, 0, 1, 0] if is_first else [0, 1, 0, -1])
        assert both.labels.dtype == np.int32
        assert both.class_names == ("x", "y")

    def test_two_unlabelled(self):
        both = from_lists(["a"]) + from_lists(["b"])
        assert both.texts.tolist() == ["a", "b"]
        assert both.labels is None

    def test_unlabelled_words(self):
        both = WORDS + from_lists([["d", "e"]], tags=True)
        assert [tags.tolist() for tags in both.labels] == [[1], [0, 1], [-1, -1]]

    def test_unlabelled_regression(self):
        """There is no number that means none."""
        with pytest.raises(ValueError, match="Unlabelled texts have no place among regression"):
            REGRESSION + from_lists(["c"])

    def test_other_classes(self):
        with pytest.raises(ValueError, match=r"the same class_names. Received: \('x', 'y'\) \+"):
            CLASSES + from_lists(["d"], ["x"])

    def test_other_kind(self):
        with pytest.raises(ValueError, match=r"of one kind. Received: texts \+ pairs"):
            CLASSES + PAIRS

    def test_no_examples(self):
        with pytest.raises(TypeError):
            CLASSES + "d"


class TestDataset:
    @pytest.mark.parametrize(
        ("examples", "spec", "first"),
        [
            (CLASSES, (((), tf.string), ((), tf.int32)), (b"a", 0)),
            (REGRESSION, (((), tf.string), ((), tf.float32)), (b"a", 0.5)),
            (PAIRS, (((2,), tf.string), ((), tf.int32)), ([b"a", b"b"], 0)),
            (WORDS, (((None,), tf.string), ((None,), tf.int32)), ([b"a"], [1])),
        ],
        ids=["classes", "regression", "pairs", "words"],
    )
    def test_elements(self, examples, spec, first):
        dataset = examples.dataset()
        assert dataset.element_spec == tuple(tf.TensorSpec(shape, dtype) for shape, dtype in spec)
        text, label = next(iter(dataset))
        assert np.array(text).tolist() == first[0]
        assert np.array(label).tolist() == first[1]
        assert int(dataset.cardinality()) == len(examples)

    @pytest.mark.parametrize(
        ("examples", "shape"),
        [
            (from_lists(["a"]), ()),
            (from_lists([("a", "b")]), (2,)),
            (from_lists([["a", "b", "c"]], tags=True), (None,)),
        ],
        ids=["texts", "pairs", "words"],
    )
    def test_unlabelled(self, examples, shape):
        """Texts alone, not tuples of one."""
        assert examples.dataset().element_spec == tf.TensorSpec(shape, tf.string)

    def test_words_can_be_padded(self):
        words, tags = next(iter(WORDS.dataset().padded_batch(2, padding_values=("", -1))))
        assert words.numpy().tolist() == [[b"a", b""], [b"b", b"c"]]
        assert tags.numpy().tolist() == [[1, -1], [0, 1]]


def test_number_of_labels():
    with pytest.raises(ValueError, match="Received: 2 texts, 1 labels"):
        Examples(np.array(["a", "b"], dtype=object), np.array([0], np.int32))
