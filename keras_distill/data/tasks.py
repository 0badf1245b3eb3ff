"""Data of several tasks for one student with a head for each."""

import keras
import tensorflow as tf

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_rate
from keras_distill.data.inputs import DistillationInputs
from keras_distill.data.inputs import is_missing
from keras_distill.data.inputs import unpack


def mix_tasks(tasks, batch_size, exponent=0.75, num_batches=None, seed=0):
    """Draws batches with examples of several tasks, for a student with one head per task.

    ```
    P(task) = size(task)^exponent / sum over all tasks of size^exponent
    ```

    The task is drawn for each example. Within an epoch, the examples of a task come in random
    order, and none is repeated before all have come. Every epoch draws anew.

    A batch is `(x, y, sample_weight)`. y and sample_weight are dicts by task, and the tasks are
    the names of the student's outputs. An example has weight 1 (or its own, if the data has
    weights) for its task and 0 for all others, where zeros are the placeholder of y. So `fit`,
    the loss of each output and the soft loss of each output need no change:

    - Keras divides the loss of a head by the batch size: all examples have the same weight,
      and a task counts as often as it is drawn. With
      `reduction="mean_with_sample_weight"` in the losses, all tasks have the same weight.
    - Metrics go into `compile(weighted_metrics=...)`, by task; plain `metrics` would
      count the placeholders.

    Args:
        tasks: Dict from task to its data: a `tf.data.Dataset` of single examples `(x, y)` or
            `(x, y, sample_weight)`, `text.Examples`, or such a tuple of arrays. All x have
            the same structure, dtype and shape; y may differ between tasks (classes,
            numbers), but is one tensor of known shape. Each task is shuffled as a whole, in memory.
            x may be `DistillationInputs`; what they carry as teacher_outputs (from
            `TeacherStore.attach`, under the task's name or none) goes to the task's
            head. An example_index is dropped, because several tasks use the same numbers.
        batch_size: Number of examples of a batch.
        exponent: From 0 (all tasks are drawn equally often) to 1 (in proportion to their size).
            Defaults to 0.75.
        num_batches: Number of batches of an epoch. None means enough for all examples once.
        seed: Integer from 0 that fixes all draws, or None. Defaults to 0.

    Returns:
        A `tf.data.Dataset` of batches.

    Raises:
        ValueError: If an argument is out of range, or a task has no examples, no y, or an x that
            differs in structure, dtype or shape from the first task's.

    Example:

    >>> import numpy as np
    >>> x = np.zeros((40, 2), "float32")
    >>> tasks = {"topic": (x, np.arange(40) % 3), "score": (x[:8], np.linspace(0, 1, 8))}
    >>> x, y, weights = next(iter(mix_tasks(tasks, batch_size=16, seed=0)))
    >>> sorted(y), (weights["topic"] + weights["score"]).numpy().min()
    (['score', 'topic'], np.float32(1.0))

    Reference: Clark et al. 2019 (BAM), https://arxiv.org/abs/1907.04829. Deviation: the authors'
    code shuffles all tasks together and weights their losses by size^(exponent - 1); here
    tasks are drawn in the same proportions instead.
    """
    batch_size = check_integer("batch_size", batch_size)
    num_batches = check_integer("num_batches", num_batches, optional=True)
    exponent = check_rate("exponent", exponent)
    seed = check_integer("seed", seed, minimum=0, optional=True)
    datasets = _with_all_heads(tasks)
    sizes = [_size(task, dataset) for task, dataset in datasets.items()]
    shuffled = [
        dataset.shuffle(size, seed=None if seed is None else seed + index).repeat()
        for index, (dataset, size) in enumerate(zip(datasets.values(), sizes))
    ]
    weights = [size**exponent for size in sizes]
    mixed = tf.data.Dataset.sample_from_datasets(
        shuffled,
        [weight / sum(weights) for weight in weights],
        seed=seed,
        rerandomize_each_iteration=True,
    )
    num_batches = -(-sum(sizes) // batch_size) if num_batches is None else num_batches
    # take() precedes batch(): a batch that is read ahead would change the random states.
    examples = mixed.take(num_batches * batch_size)
    return examples.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def join_tasks(tasks, batch_size):
    """Joins the examples of several tasks, each once and in order, for evaluation.

    The batches have the form of `mix_tasks`, so that one evaluation gives the loss and the
    weighted metrics of every task.

    Args:
        tasks: As in `mix_tasks`.
        batch_size: Number of examples of a batch; the last may have fewer.

    Returns:
        A `tf.data.Dataset` of batches `(x, y, sample_weight)`.

    Raises:
        ValueError: As `mix_tasks`.

    Example:

    >>> import numpy as np
    >>> x = np.zeros((3, 2), "float32")
    >>> tasks = {"topic": (x, np.array([0, 2, 1])), "score": (x[:2], np.array([0.5, 0.7]))}
    >>> x, y, weights = next(iter(join_tasks(tasks, batch_size=8)))
    >>> y["topic"].numpy().tolist(), weights["topic"].numpy().tolist()
    ([0, 2, 1, 0, 0], [1.0, 1.0, 1.0, 0.0, 0.0])
    """
    batch_size = check_integer("batch_size", batch_size)
    datasets = _with_all_heads(tasks)
    sizes = [_size(task, dataset) for task, dataset in datasets.items()]
    first, *others = datasets.values()
    for dataset in others:
        first = first.concatenate(dataset)
    joined = first.apply(tf.data.experimental.assert_cardinality(sum(sizes)))
    return joined.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def _with_all_heads(tasks):
    """`{task: data set}` of examples that have a y and a weight for every head."""
    if not isinstance(tasks, dict) or not tasks:
        raise ValueError(
            "tasks must be a dict from task, the name of the student's output, to its data. "
            f"Received: tasks={tasks!r}"
        )
    datasets = {task: _dataset(task, data) for task, data in tasks.items()}
    specs = {task: unpack(dataset.element_spec) for task, dataset in datasets.items()}
    first = next(iter(specs))
    for task, (_, y, _) in specs.items():
        if not _is_known(y):
            raise ValueError(
                f"Task {task!r} must have a y in its data, one tensor of known shape for each "
                "example: give single examples (x, y), not batches, and pad sequences. "
                f"Received: y={y}"
            )
        views = {of: _view(specs[of][0]) for of in (first, task)}
        if views[first] != views[task]:
            raise ValueError(
                "All tasks must have an x of one structure, dtype and shape. "
                f"Received: {views[task]} of task {task!r}, {views[first]} of task {first!r}."
            )
    taught = {task: _taught(task, inputs) for task, (inputs, _, _) in specs.items()}
    if any(spec is None for spec in taught.values()) != all(s is None for s in taught.values()):
        raise ValueError(
            "Either all tasks carry teacher_outputs or none. Received: none of "
            f"{[task for task, spec in taught.items() if spec is None]}."
        )
    labels = {task: y for task, (_, y, _) in specs.items()}
    weights = {task: _weight_spec(weight) for task, (_, _, weight) in specs.items()}
    return {
        task: dataset.map(_for_all_heads(task, labels, weights, taught), tf.data.AUTOTUNE)
        for task, dataset in datasets.items()
    }


def _dataset(task, data):
    data = data.dataset() if hasattr(data, "dataset") else data
    if isinstance(data, tf.data.Dataset):
        return data
    is_tuple = isinstance(data, tuple) and not isinstance(data, DistillationInputs)
    if not (is_tuple and len(data) in (2, 3)):
        raise ValueError(
            f"Task {task!r} must be a tf.data.Dataset of examples (x, y), or a tuple of arrays. "
            f"Received: {type(data).__name__}{f' of {len(data)}' if is_tuple else ''}"
        )
    try:
        return tf.data.Dataset.from_tensor_slices(data)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Task {task!r} must have arrays of as many labels as inputs. Received: {error}"
        ) from error


def _size(task, dataset):
    size = int(dataset.cardinality())
    if size == tf.data.UNKNOWN_CARDINALITY:
        size = int(dataset.reduce(tf.constant(0, "int64"), lambda count, _: count + 1))
    if size <= 0:
        raise ValueError(
            f"Task {task!r} must have at least one example, and an end. Received: "
            f"{'a data set that repeats forever' if size < 0 else 'none'}."
        )
    return size


def _view(inputs):
    """The structure, dtypes and shapes in which the x of all tasks must agree."""
    views = inputs.student, inputs.teacher
    return [(path, spec.dtype.name, spec.shape.as_list()) for path, spec in _leaves(views)]


def _leaves(structure):
    return keras.tree.flatten_with_path(structure)


def _is_known(spec):
    return isinstance(spec, tf.TensorSpec) and spec.shape.is_fully_defined()


def _taught(task, inputs):
    """Spec of the task's teacher output, or None."""
    if is_missing(inputs.teacher_outputs):
        return None
    output = _own_output(task, inputs)
    if not _is_known(output):
        raise ValueError(
            f"Task {task!r} must carry one output of its teacher, a tensor of known shape, alone "
            "or in a dict under the task's name. "
            f"Received: teacher_outputs={inputs.teacher_outputs}"
        )
    return output


def _own_output(task, inputs):
    outputs = inputs.teacher_outputs
    return outputs[task] if isinstance(outputs, dict) and list(outputs) == [task] else outputs


def _weight_spec(weight):
    return tf.TensorSpec(() if weight is None else weight.shape, tf.float32)


def _for_all_heads(task, labels, weights, taught):
    """A function that gives an example of one task all heads, given specs by task."""

    def for_all(own, specs):
        return {
            head: own if head == task else tf.zeros(spec.shape, spec.dtype)
            for head, spec in specs.items()
        }

    def example_of_all(*example):
        inputs, y, weight = unpack(example)
        weight = tf.ones(()) if weight is None else tf.cast(weight, tf.float32)
        x = inputs.student
        if isinstance(example[0], DistillationInputs):
            is_taught = taught[task] is not None
            outputs = for_all(_own_output(task, inputs), taught) if is_taught else ()
            x = inputs._replace(teacher_outputs=outputs, example_index=())
        return x, for_all(y, labels), for_all(weight, weights)

    return example_of_all
