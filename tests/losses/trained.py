"""What the tests of losses with trained parts share."""

import tensorflow as tf


def run_trained(loss, part, teacher, student, training=True):
    """Values, and the gradients of their sum by the student and by the part's variables.

    Args:
        loss: The loss, with reduction None.
        part: The layer of the loss that is trained.
        teacher: The teacher's features, a tensor or a list.
        student: The student's, likewise.
        training: Whether the loss is told that it is a training step.
    """
    student = tf.nest.map_structure(tf.convert_to_tensor, student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        values = loss.for_batch(training=training)(teacher, student)
        total = tf.reduce_sum(values)
    by_student, by_part = tape.gradient(total, (student, variables_of(part)))
    return values, by_student, by_part


def run_oracle(oracle, part, teacher, student):
    """The same of `oracle(teacher, student, weights)`, naive and in float64."""
    weights = [tf.constant(v.numpy(), "float64") for v in variables_of(part)]
    teacher, student = tf.nest.map_structure(
        lambda z: tf.cast(tf.convert_to_tensor(z), "float64"), (teacher, student)
    )
    with tf.GradientTape() as tape:
        tape.watch((student, weights))
        values = oracle(teacher, student, weights)
        total = tf.reduce_sum(values)
    by_student, by_weights = tape.gradient(total, (student, weights))
    return values.numpy(), *tf.nest.map_structure(lambda z: z.numpy(), (by_student, by_weights))


def variables_of(part):
    return [weight.value for weight in part.trainable_weights]


def convolution(image, kernel, bias=0.0):
    """Of one stride and the image's size, as sums over the kernel's positions."""
    rows, columns = kernel.shape[:2]
    height, width = image.shape[1:3]
    padding = [[0, 0], [rows // 2] * 2, [columns // 2] * 2, [0, 0]]
    padded = tf.pad(image, padding)
    return bias + sum(
        tf.einsum("bhwi,io->bhwo", padded[:, i : i + height, j : j + width], kernel[i, j])
        for i in range(rows)
        for j in range(columns)
    )


def batch_normalised(image, gamma, beta):
    """By the batch's own statistics."""
    mean = tf.reduce_mean(image, (0, 1, 2))
    variance = tf.reduce_mean((image - mean) ** 2, (0, 1, 2))
    return gamma * (image - mean) / tf.sqrt(variance + 1e-5) + beta
