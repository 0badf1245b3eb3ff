"""Runs a teacher over examples; texts are batched with others of similar length."""

import keras
import numpy as np
import tensorflow as tf

from keras_distill.data.inputs import DistillationInputs
from keras_distill.distillation.first_batch import named_leaves
from keras_distill.distillation.teacher_pass import TeacherPass
from keras_distill.layers.strings_to_logits import TextClassifier
from keras_distill.store.output_names import output_names
from keras_distill.store.teacher_inputs import take

_BATCH_SIZE = 32
_TOKENS_PER_BATCH = 2048
# Number of texts that are tokenized together and sorted by length.
_CHUNK = 4096


class Labeller:
    """Runs a teacher and keeps some of its outputs.

    Args:
        teacher: A `keras.Model` or another callable. The preprocessor and the classifier of
            a `TextClassifier` run separately, so that texts can be batched with others of
            similar length.
        taps: Paths, "output" for the teacher's output.
        batch_size: Examples in a batch. None means 32; texts are batched by number of tokens.

    Attributes:
        shapes: Dict from the name of an output to the shape of one example's row, None
            where sizes differ. It is known after the first labelling.
        structure: Dict from tap to the names of its outputs, nested as the outputs are.
    """

    def __init__(self, teacher, taps, batch_size=None):
        self._preprocessor, self._model = None, teacher
        if isinstance(teacher, TextClassifier):
            self._preprocessor, self._model = teacher.preprocessor, teacher.classifier
        self._batch_size = batch_size
        prefix = f"{getattr(self._model, 'name', '')}/"
        self._paths = {tap: tap.removeprefix(prefix) for tap in taps}
        hidden = [path for path in self._paths.values() if path != "output"]
        self._pass = TeacherPass(self._model, hidden)
        self._run = None
        self.shapes = self.structure = None

    def __call__(self, x):
        """Labels examples, see `label`."""
        return self.label(self.batches(x), count_examples(x))

    def label(self, batches, num_examples, on_batch=None):
        """Runs the teacher.

        Args:
            batches: The result of `batches`.
            num_examples: Number of examples in them.
            on_batch: Function of the number of examples that were labelled just now.

        Returns:
            Dict from the name of an output to float32 rows, one for each example: an array,
            or a list of arrays where their shapes differ.
        """
        rows = {}
        for inputs, places in batches:
            outputs = self._outputs(inputs)
            num_used = {} if self._preprocessor is None else _count_used(inputs)
            for name, values in outputs.items():
                if name not in rows:
                    rows[name] = self._empty_rows(name, num_examples)
                if None not in self.shapes[name]:
                    rows[name][places] = values
                    continue
                for row, place in enumerate(places):
                    rows[name][place] = values[row][self._own(name, num_used, row)]
            if on_batch is not None:
                on_batch(len(places))
        return rows

    def batches(self, x):
        """Tokenizes and batches examples.

        Args:
            x: Tensors of the examples, nested as the teacher reads them, with a first axis
                of examples.

        Returns:
            Iterable of the inputs of the teacher's model, and of the examples' places in x.
        """
        places = np.arange(count_examples(x))
        if self._preprocessor is None:
            return self._slices(x, places)
        chunks = np.split(places, range(_CHUNK, len(places), _CHUNK))
        return [batch for chunk in chunks for batch in self._tokenized(take(x, chunk), chunk)]

    def _tokenized(self, texts, places):
        if isinstance(texts, tf.RaggedTensor):
            texts = texts.to_tensor()
        inputs = {name: leaf.numpy() for name, leaf in self._preprocessor(texts).items()}
        widths = _padded_lengths(_count_used(inputs)["ids"])
        for width in np.unique(widths):
            rows = np.flatnonzero(widths == width)
            size = self._batch_size or max(1, _TOKENS_PER_BATCH // width)
            for chosen in np.split(rows, range(size, len(rows), size)):
                # The ids' width is enough for word positions: a text has no more words than ids.
                yield {name: leaf[chosen, :width] for name, leaf in inputs.items()}, places[chosen]

    def _slices(self, x, places):
        if any(isinstance(leaf, tf.RaggedTensor) for leaf in keras.tree.flatten(x)):
            raise ValueError(
                "teacher must read whole texts, of shape (), unless it is a "
                "keras_distill.teachers.text_classifier with per_word=True, which says which "
                "outputs are of padding. Received: examples of unlike numbers of words. Join the "
                "words of each, and have the teacher split them."
            )
        if isinstance(x, tf.Tensor) and x.dtype == tf.string:
            # The teacher tokenizes itself; texts of similar length then need little padding, too.
            lengths = tf.strings.length(tf.strings.reduce_join(tf.reshape(x, [len(x), -1]), 1))
            places = np.argsort(lengths, kind="stable")
        size = self._batch_size or _BATCH_SIZE
        for chosen in np.split(places, range(size, len(places), size)):
            yield take(x, chosen), chosen

    def _outputs(self, inputs):
        if self._run is None:
            num_open = 1 if self._preprocessor is None else 2
            spec = keras.tree.map_structure(lambda leaf: _open_spec(leaf, num_open), inputs)
            self._run = tf.function(self._trace, input_signature=[spec], autograph=False)
            traced = self._run.get_concrete_function().structured_outputs
            self.shapes = {name: leaf.shape.as_list()[1:] for name, leaf in traced.items()}
        outputs = {name: leaf.numpy() for name, leaf in self._run(inputs).items()}
        num_examples = count_examples(inputs)
        for name, values in outputs.items():
            if values.shape[:1] != (num_examples,):
                raise ValueError(
                    f"The teacher's {name!r} must have one row for each example, {num_examples} "
                    f"here. Received: shape {values.shape}"
                )
        return outputs

    def _trace(self, inputs):
        activations = self._pass(DistillationInputs(inputs), "output" in self._paths)
        activations = {tap: activations[path] for tap, path in self._paths.items()}
        leaves = named_leaves(activations)
        unique = output_names([name for name, _ in leaves])
        names = [unique[name] for name, _ in leaves]
        self.structure = keras.tree.pack_sequence_as(activations, names)
        return {name: tf.cast(leaf, "float32") for name, (_, leaf) in zip(names, leaves)}

    def _empty_rows(self, name, num_examples):
        shape = self.shapes[name]
        return [None] * num_examples if None in shape else np.empty((num_examples, *shape), "f4")

    def _own(self, name, num_used, row):
        """The part of an example's row that is not padding."""
        what = "words" if name.startswith("output") and "words" in num_used else "ids"
        if what not in num_used:
            return ...
        return tuple(slice(num_used[what][row] if n is None else n) for n in self.shapes[name])


def count_examples(x):
    """The number of examples of nested tensors."""
    return int(tf.shape(keras.tree.flatten(x)[0])[0])


def _count_used(inputs):
    """The numbers of ids and of words in each text of a batch."""
    ids = [leaf != 0 for name, leaf in inputs.items() if name != "word_starts"]
    num_used = {"ids": _used_lengths(np.any(ids, axis=0))}
    if "word_starts" in inputs:
        num_used["words"] = _used_lengths(inputs["word_starts"] != 0)
    return num_used


def _used_lengths(is_used):
    return np.max(np.where(is_used, np.arange(1, is_used.shape[1] + 1), 0), axis=1, initial=0)


def _padded_lengths(lengths):
    """Rounds lengths up to few values, which fill batches; long texts get at most 1/8 padding."""
    steps = np.maximum(4, 2 ** np.floor(np.log2(np.maximum(lengths, 1))).astype(int) // 8)
    return np.maximum(1, -(-lengths // steps)) * steps


def _open_spec(tensor, num_open):
    """A spec for batches of any size and texts of any length, so that nothing is traced twice."""
    return tf.TensorSpec([None] * num_open + list(tensor.shape[num_open:]), tensor.dtype)
