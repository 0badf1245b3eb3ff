"""The data of a batch when teacher and student do not read the same inputs."""

from typing import Any
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_distill._arguments.checks import check_function


class DistillationInputs(NamedTuple):
    """The x of a batch, when both models do not read the same x.

    A missing field is `()`, an empty structure. None works too if the data pipeline
    can carry it: a `PyDataset` and a `tf.distribute` data set cannot.

    Args:
        student: The student's inputs, in the structure that the student takes.
        teacher: The teacher's inputs; if not given, the teacher reads the student's.
        teacher_outputs: The teacher's outputs for this batch, computed beforehand; the
            teacher then does not run. They have the structure that the teacher returns, or are
            a dict from tap path to tensor with the teacher's output under "output".
        example_index: The number of each example in its data set, `(batch,)` integers,
            for losses that remember examples.
        labels: Labels for the losses of objectives, if they are not y: for instance the boxes
            of objects, `(batch, boxes, 4)`, for `losses.RegionMSE`.

    Example:

    ```python
    x = kd.DistillationInputs(student=ids, teacher=texts)
    x = kd.DistillationInputs(student=ids, teacher_outputs=logits)
    x = kd.DistillationInputs(student=ids, teacher_outputs={"output": logits, "block_3": hidden})
    distiller.fit(x, y)
    ```
    """

    student: Any
    teacher: Any = ()
    teacher_outputs: Any = ()
    example_index: Any = ()
    labels: Any = ()


def pair_inputs(dataset, *, student=None, teacher=None):
    """Gives each model its own view of x, inside tf.data.

    Args:
        dataset: A `tf.data.Dataset` of `x`, `(x, y)` or `(x, y, sample_weight)`,
            batched or not.
        student: Function from x to the student's inputs. None means x itself.
        teacher: Function from x to the teacher's inputs. None means x itself.

    Returns:
        A dataset of `(DistillationInputs, ...)` with y and weights unchanged.

    Example:

    ```python
    dataset = kd.data.pair_inputs(dataset, student=vectorization, teacher=preprocessor)
    ```
    """
    for name, function in (("student", student), ("teacher", teacher)):
        if function is not None:
            message = f"{name} must be a function from x to that model's inputs, or None."
            check_function(name, function, message)

    def pair(*batch):
        x, *rest = batch
        if isinstance(x, DistillationInputs):
            raise ValueError("dataset already yields DistillationInputs; pair the inputs once.")
        views = [x if function is None else function(x) for function in (student, teacher)]
        return (DistillationInputs(*views), *rest)

    return dataset.map(pair, num_parallel_calls=tf.data.AUTOTUNE)


def with_example_index(dataset):
    """Numbers the examples of a data set, for losses that remember examples, such as `CRD`.

    Call it after `pair_inputs`, and before anything that shuffles, repeats or batches: an
    example must keep its number in all epochs.

    Args:
        dataset: A `tf.data.Dataset` of single examples, not batched and not shuffled: `x`,
            `(x, y)` or `(x, y, sample_weight)`, where x may be `DistillationInputs`.

    Returns:
        A dataset of `(DistillationInputs, ...)` with `example_index` 0, 1, 2, ...

    Example:

    ```python
    dataset = kd.data.with_example_index(dataset).shuffle(10_000).batch(64)
    ```
    """

    def number(index, batch):
        x, *rest = batch if _is_plain_tuple(batch) else (batch,)
        if not isinstance(x, DistillationInputs):
            x = DistillationInputs(x)
        elif not is_missing(x.example_index):
            raise ValueError("dataset already has an example_index; number the examples once.")
        return (x._replace(example_index=index), *rest)

    return dataset.enumerate().map(number, num_parallel_calls=tf.data.AUTOTUNE)


def _is_plain_tuple(batch):
    return isinstance(batch, tuple) and not isinstance(batch, DistillationInputs)


def unpack(data):
    """Splits a batch into DistillationInputs, y and sample_weight (None where missing)."""
    if isinstance(data, DistillationInputs):
        # DistillationInputs are a tuple: Keras would treat the teacher's inputs as labels.
        return data, None, None
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if not isinstance(x, DistillationInputs):
        x = DistillationInputs(student=x)
    # A tf.distribute batch has an empty tuple in place of None.
    return x, None if is_missing(y) else y, sample_weight


def inputs_of(x):
    """The DistillationInputs in the x of `fit`; for a data set, their specs."""
    if isinstance(x, tf.data.Dataset):
        return unpack(x.element_spec)[0]
    return x if isinstance(x, DistillationInputs) else DistillationInputs(student=x)


def student_view(x):
    """The x of `predict`, reduced to the student's inputs."""
    if isinstance(x, tf.data.Dataset):
        return x.map(lambda *batch: unpack(batch if len(batch) > 1 else batch[0])[0].student)
    return inputs_of(x).student


def example_index(inputs):
    """The number of each example, or None if the batch does not carry it."""
    return None if is_missing(inputs.example_index) else inputs.example_index


def is_missing(field):
    """Whether a field of DistillationInputs holds no tensor."""
    return all(leaf is None for leaf in keras.tree.flatten(field))
