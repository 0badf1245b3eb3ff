"""Texts with their labels, as arrays."""

import dataclasses
import itertools

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Texts, their labels and the names of the classes.

    `examples[index]` takes a slice, an array of indices or a mask and gives `Examples`.
    `examples + other` concatenates two. Examples with classes and unlabelled ones can be
    combined for a transfer set; unlabelled ones then get the label -1.

    Args:
        texts: NumPy object array: `(n,)` of str; `(n, 2)` of str for pairs; for tagging
            `(n,)` of lists of str, the words.
        labels: int32 `(n,)`, the class indices; float32 `(n,)` for regression; for
            tagging an object array `(n,)` of int32 arrays, one index for each word; None
            for unlabelled texts. Defaults to None.
        class_names: Tuple of str, by class index; None for regression and for unlabelled
            texts. Defaults to None.

    Raises:
        ValueError: If there are not as many labels as texts; in `+`, if the two have
            different kinds of texts or labels.

    Example:

    >>> from keras_distill.text import from_lists
    >>> examples = from_lists(["good film", "dull"], ["positive", "negative"])
    >>> examples.labels, examples.class_names
    (array([1, 0], dtype=int32), ('negative', 'positive'))
    >>> (examples + from_lists(["unlabelled"])).labels
    array([ 1,  0, -1], dtype=int32)
    >>> for text, label in examples[:1].dataset():
    ...     print(text.numpy(), label.numpy())
    b'good film' 1
    """

    texts: np.ndarray
    labels: np.ndarray | None = None
    class_names: tuple | None = None

    def __post_init__(self):
        if self.labels is not None and len(self.labels) != len(self.texts):
            raise ValueError(
                "labels must have one entry for each text. Received: "
                f"{len(self.texts)} texts, {len(self.labels)} labels"
            )

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, index):
        rows = np.atleast_1d(np.arange(len(self))[index])
        labels = None if self.labels is None else self.labels[rows]
        return dataclasses.replace(self, texts=self.texts[rows], labels=labels)

    def __add__(self, other):
        if not isinstance(other, Examples):
            return NotImplemented
        kinds = self._kind, other._kind
        if kinds[0] != kinds[1]:
            raise ValueError(
                "Examples that are added must be of one kind. Received: "
                f"{kinds[0]} + {kinds[1]}. Load both the same way."
            )
        labelled = [part for part in (self, other) if part.labels is not None]
        texts = np.concatenate([self.texts, other.texts])
        if not labelled:
            return Examples(texts)
        class_names = labelled[0].class_names
        if labelled[-1].class_names != class_names:
            raise ValueError(
                "Examples that are added must have the same class_names. Received: "
                f"{class_names} + {labelled[-1].class_names}. Give class_names= of the first "
                "when loading the second."
            )
        if class_names is None and len(labelled) == 1:
            raise ValueError(
                "Unlabelled texts have no place among regression labels. Received: "
                f"{len(self)} + {len(other)} examples, of which one part is unlabelled. Leave out "
                "the labels of both: Examples(texts)."
            )
        labels = np.concatenate([part._labels_or_missing() for part in (self, other)])
        return Examples(texts, labels, class_names)

    def dataset(self):
        """Returns a `tf.data.Dataset` of `(text, label)`, or of `text` alone if unlabelled.

        A text is a string tensor `()`, `(2,)` for a pair, `(words,)` for tagging. A label
        is `()`, or `(words,)` for tagging.
        """
        if not self._is_tagging:
            parts = self.texts if self.labels is None else (self.texts, self.labels)
            return tf.data.Dataset.from_tensor_slices(parts)
        words = _ragged(self.texts, tf.string)
        if self.labels is None:
            ragged = tf.data.Dataset.from_tensor_slices((words,))
            return ragged.map(lambda words: words)
        ragged = tf.data.Dataset.from_tensor_slices((words, _ragged(self.labels, tf.int32)))
        # The elements are plain tensors, but the dataset's spec shows this only after a map.
        return ragged.map(lambda words, tags: (words, tags))

    @property
    def _is_tagging(self):
        return self.texts.ndim == 1 and len(self) > 0 and not isinstance(self.texts[0], str)

    @property
    def _kind(self):
        if self.texts.ndim == 2:
            return "pairs"
        return "words to tag" if self._is_tagging else "texts"

    def _labels_or_missing(self):
        if self.labels is not None:
            return self.labels
        if not self._is_tagging:
            return np.full(len(self), -1, np.int32)
        return object_array([np.full(len(words), -1, np.int32) for words in self.texts])


def object_array(values, shape=None):
    """Returns an object array of unchanged `values`, even if they are lists or arrays."""
    array = np.empty(len(values) if shape is None else shape, dtype=object)
    array[:] = values
    return array


def _ragged(rows, dtype):
    values = list(itertools.chain.from_iterable(rows))
    lengths = [len(row) for row in rows]
    return tf.RaggedTensor.from_row_lengths(tf.constant(values, dtype), lengths)
