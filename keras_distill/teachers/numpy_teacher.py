"""Teachers of other frameworks: functions of NumPy arrays."""

import keras
import numpy as np
import tensorflow as tf


def numpy_teacher(function, example=None):
    """Makes a teacher from a function of NumPy arrays, such as an ONNX or PyTorch model.

    It works in `fit`, `evaluate`, `TeacherStore.build` and `compare` like any other function. It
    runs in Python in each step, outside of TensorFlow's graph: if examples are repeated, label the
    data once with a `TeacherStore`. No gradient passes through it, so it does not work with
    input gradients or with data-free distillation.

    Args:
        function: Function from the inputs, NumPy arrays `(batch, ...)` nested as in the data set,
            to logits, probabilities or features `(batch, ...)`: an array, or dicts, lists or
            tuples of arrays. Strings arrive as arrays of bytes.
        example: Inputs of some examples, with which the function is called once to find the shapes
            and dtypes of its outputs. None: the first batch is used, or one example of zeros (empty
            strings) if TensorFlow needs the shapes before.

    Returns:
        A function from tensors to tensors.

    Raises:
        ValueError: If function is not a function, or is a Keras model, which needs no wrapping;
            when it is called, if its outputs are not arrays with one row for each example, or
            change their number, rank, sizes or kind of numbers from one batch to the next.

    Example:

    >>> teacher = numpy_teacher(lambda x: x @ np.array([[1.0, -1.0], [0.5, 2.0]]))
    >>> teacher(tf.ones((3, 2))).shape
    TensorShape([3, 2])
    """
    return NumpyTeacher(function, example)


class NumpyTeacher:
    """The function that `numpy_teacher` returns."""

    # XLA cannot compile Python code.
    supports_jit = False

    def __init__(self, function, example=None):
        if not callable(function) or isinstance(function, keras.layers.Layer):
            raise ValueError(
                "function must be a function from NumPy arrays to NumPy arrays; a Keras model is a "
                f"teacher as it is. Received: function={function!r}"
            )
        self.function = function
        self._structure = self._outputs = None
        if example is not None:
            self(keras.tree.map_structure(np.asarray, example))

    def __call__(self, inputs):
        leaves = [leaf for leaf in keras.tree.flatten(inputs) if leaf is not None]
        if any(isinstance(leaf, (tf.RaggedTensor, tf.SparseTensor)) for leaf in leaves):
            raise ValueError(
                "A teacher of NumPy arrays needs dense inputs. Received: ragged or sparse ones. "
                "Make them dense, such as by x.to_tensor(), in the data set."
            )
        leaves = [tf.convert_to_tensor(leaf) for leaf in leaves]
        if all(hasattr(leaf, "numpy") for leaf in leaves):
            outputs = self._run(inputs, *[leaf.numpy() for leaf in leaves])
            return self._packed([tf.convert_to_tensor(output) for output in outputs])
        if self._outputs is None:
            self._run(inputs, *[_zeros(leaf) for leaf in leaves])
        known = list(self._outputs)
        outputs = tf.numpy_function(
            # Arrays are copied, as in eager mode: the function might change the batch in place.
            lambda *arrays: self._run(inputs, *map(np.array, arrays)),
            leaves,
            [o.dtype for o in known],
        )
        is_fixed = all(leaf.shape.rank and None not in leaf.shape[1:] for leaf in leaves)
        for output, like in zip(outputs, known):
            # Inner axes may be lengths that depend on the inputs.
            inner = like.shape[1:] if is_fixed else [None] * (like.ndim - 2) + [like.shape[-1]]
            output.set_shape([leaves[0].shape[0], *(inner if like.ndim > 1 else [])])
        return self._packed(outputs)

    def _packed(self, outputs):
        return keras.tree.pack_sequence_as(self._structure, outputs)

    def _run(self, like, *arrays):
        """Runs the function and returns its arrays, which must have one form in all batches."""
        arrays = iter(arrays)
        inputs = keras.tree.map_structure(lambda x: None if x is None else next(arrays), like)
        structure = self.function(inputs)
        outputs = list(map(np.asarray, keras.tree.flatten(structure)))
        batch_size = len(next(x for x in keras.tree.flatten(inputs) if x is not None))
        for output in outputs:
            if output.dtype.kind not in "biuf" or output.shape[:1] != (batch_size,):
                raise ValueError(
                    "A teacher of NumPy arrays must return arrays of numbers with one row for each "
                    f"example, {batch_size} here. Received: dtype {output.dtype}, shape "
                    f"{output.shape}"
                )
        if self._outputs is None:
            self._structure = keras.tree.map_structure(lambda _: 0, structure)
            self._outputs = outputs
        kinds = [
            [(o.ndim, o.shape[-1:][: o.ndim - 1], o.dtype.kind) for o in n]
            for n in (outputs, self._outputs)
        ]
        if kinds[0] != kinds[1]:
            received, before = (
                [(o.shape, o.dtype.name) for o in each] for each in (outputs, self._outputs)
            )
            raise ValueError(
                "A teacher of NumPy arrays must return outputs of the same sizes and kind of "
                f"numbers for each batch. Received: {received}, after {before}"
            )
        return [output.astype(first.dtype) for output, first in zip(outputs, self._outputs)]


def _zeros(tensor):
    shape = [1 if size is None else size for size in tensor.shape]
    zeros = np.zeros([1, *shape[1:]], "S1" if tensor.dtype == tf.string else None)
    return (
        zeros.astype(object)
        if tensor.dtype == tf.string
        else zeros.astype(tensor.dtype.as_numpy_dtype)
    )
