"""Inputs from statistics: noise is optimised until the teacher's activations fit."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_positive
from keras_distill.distillation.teacher_pass import TeacherPass
from keras_distill.teaching.data_free.activation_statistics import ActivationStatistics


def synthesize(
    teacher, statistics, num_examples, *, num_steps=1000, learning_rate=0.07, batch_size=64, seed=0
):
    """Makes inputs that activate a teacher as its data did.

    ```
    target_ti ~ N(mean_t, covariance_t)                 of tap t and the class of example i
    loss_i    = sum_t mean_j (a_tij(x_i) - target_tij)^2 / v_t
    v_t       = mean over classes and features of the variance of tap t
    ```

    Each x_i starts as noise with the mean and standard deviation of all numbers of the inputs. Adam
    minimises its loss, and x_i is clipped to the inputs' range. Examples take the classes in
    turn; each has its own targets. The teacher runs in inference mode and is never changed.

    Distil on the result as on any data without labels:

    ```python
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.0)
    distiller.compile("adam")
    distiller.fit(inputs, epochs=10)
    ```

    Args:
        teacher: The `keras.Model` whose statistics these are.
        statistics: An `ActivationStatistics`.
        num_examples: How many inputs to make, 1 or more.
        num_steps: Steps of Adam for each batch. Defaults to 1000.
        learning_rate: Learning rate of Adam, positive, in the units of the inputs. Defaults to
            0.07.
        batch_size: Examples that are made at once. It affects time and memory only. Defaults to 64.
        seed: Integer; the same seed gives the same inputs.

    Returns:
        float32 array `(num_examples, ...)` of inputs for the teacher and for a student.

    Raises:
        ValueError: If the statistics are of another teacher, or a number is out of range.

    Example:

    >>> from keras_distill.teaching import record_statistics
    >>> teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="logits")])
    >>> x, y = np.random.default_rng(0).uniform(size=(30, 4)), np.arange(30) % 3
    >>> data = tf.data.Dataset.from_tensor_slices((x, y)).batch(10)
    >>> statistics = record_statistics(teacher, data, ["logits"])
    >>> synthesize(teacher, statistics, num_examples=5, num_steps=20).shape
    (5, 4)

    Reference: Lopes et al. 2017, https://arxiv.org/abs/1710.07535. Steps and learning rate are
    those of the authors' code. Deviations: that code cuts targets and activations at zero and
    divides each layer's error by its width; here targets are cut at the lowest recorded activation,
    and errors are relative to the variance, so that layers of any scale have the same weight. That
    code's noise fits one data set. Here inputs are kept in their range, and dropout is off.
    """
    if not isinstance(statistics, ActivationStatistics):
        raise ValueError(
            "statistics must be what record_statistics() returns. Received: "
            f"{type(statistics).__name__}"
        )
    num_examples = check_integer("num_examples", num_examples)
    num_steps = check_integer("num_steps", num_steps)
    batch_size = check_integer("batch_size", batch_size)
    seed = check_integer("seed", seed, minimum=0)
    learning_rate = check_positive("learning_rate", learning_rate)
    statistics.check_teacher(teacher)
    input_shape = getattr(teacher, "input_shape", None)
    if not isinstance(input_shape, tuple) or None in input_shape[1:]:
        raise ValueError(
            "teacher must start with one keras.Input of a known shape, that of the inputs to make. "
            f"Received: teacher.input_shape={input_shape}"
        )
    rng = np.random.default_rng(seed)
    (known_classes,) = np.nonzero(statistics.counts)
    classes = np.resize(known_classes, num_examples)
    targets = statistics.draw(classes, rng)
    limits = [statistics.inputs[side] for side in ("lowest", "highest")]
    shape = (num_examples, *input_shape[1:])
    noise = rng.normal(statistics.inputs["mean"], statistics.inputs["deviation"], shape)
    noise = np.clip(noise, *limits).astype("float32")
    search = _Search(teacher, statistics, (batch_size, *shape[1:]), learning_rate, limits)
    made = []
    for start in range(0, num_examples, batch_size):
        rows = np.arange(start, start + batch_size) % num_examples  # All batches have one shape.
        made.append(search({tap: t[rows] for tap, t in targets.items()}, noise[rows], num_steps))
    return np.concatenate(made)[:num_examples]


class _Search:
    """Adam on a batch of inputs."""

    def __init__(self, teacher, statistics, shape, learning_rate, limits):
        self._teacher_pass = TeacherPass(teacher, statistics.taps)
        self._variances = {tap: _mean_variance(statistics, tap) for tap in statistics.taps}
        self._inputs = keras.Variable(np.zeros(shape, "float32"))
        self._limits = limits
        self._optimizer = keras.optimizers.Adam(learning_rate)
        self._optimizer.build([self._inputs])
        self._initial = [variable.numpy() for variable in self._optimizer.variables]

    def __call__(self, targets, noise, num_steps):
        self._inputs.assign(noise)
        for variable, value in zip(self._optimizer.variables, self._initial):
            variable.assign(value)
        targets = {tap: tf.constant(values) for tap, values in targets.items()}
        for _ in range(num_steps):
            self._step(targets)
        return self._inputs.numpy()

    @tf.function(autograph=False)
    def _step(self, targets):
        with tf.GradientTape() as tape:
            x = self._inputs + 0.0
            _, activations = self._teacher_pass.differentiable(x)
            loss = sum(self._error(tap, activations[tap], targets[tap]) for tap in targets)
        gradient = tape.gradient(loss, self._inputs.value)
        self._optimizer.apply_gradients([(gradient, self._inputs)])
        self._inputs.assign(ops.clip(self._inputs, *self._limits))

    def _error(self, tap, activation, target):
        activation = ops.reshape(ops.cast(activation, "float32"), target.shape)
        # This is a sum over the examples: with a mean, the step would depend on the batch size.
        error = ops.sum(ops.mean((activation - target) ** 2, axis=1))
        return error / self._variances[tap]


def _mean_variance(statistics, tap):
    covariances = statistics.covariances[tap][statistics.counts > 0]
    if covariances.ndim == 3:
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    return max(float(covariances.mean()), keras.config.epsilon())
