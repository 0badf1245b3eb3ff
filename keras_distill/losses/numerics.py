"""Arithmetic that losses share: exact where float32 would cancel, overflow or divide by 0."""

import tensorflow as tf
from keras import ops

from keras_distill._arguments.schedules import in_dtype


def log_softmax(logits, temperature):
    """Log softmax in float64, in which float32 logits do not overflow."""
    return ops.log_softmax(ops.cast(logits, "float64") / in_dtype(temperature, "float64"), axis=-1)


def soft_target_kl(teacher, student, temperature):
    """`T^2 * KL(softmax(teacher / T) || softmax(student / T))` over the last axis.

    With d = log p - log q the divergence is the sum of `p * d + (q - p)`: no term is
    negative, so terms do not cancel, as those of `p * d` do when the student is
    close to its teacher. It is computed in float64, whose rounding error is far below
    the last digit of float32, however large or close the logits are.
    """
    dtype = student.dtype
    temperature = in_dtype(temperature, dtype)
    teacher = ops.stop_gradient(teacher)

    @tf.custom_gradient
    def divergence(student):
        log_p, log_q = log_softmax(teacher, temperature), log_softmax(student, temperature)
        p, q = ops.exp(log_p), ops.exp(log_q)
        d = log_p - log_q
        # This is q - p with full relative precision, even if they are almost equal.
        difference = ops.sign(d) * ops.maximum(p, q) * ops.expm1(-ops.abs(d))
        value = temperature**2 * ops.cast(ops.sum(p * d + difference, axis=-1), dtype)
        difference = ops.cast(difference, dtype)

        def gradient(upstream):
            return ops.expand_dims(upstream, -1) * temperature * difference

        return value, gradient

    return divergence(student)


def unit_vectors(vectors):
    """Vectors on the last axis, divided by their length; zeros stay, and get no gradient."""
    # Dividing by the largest entry first prevents overflow and underflow of the squares. The
    # scale cancels out, and so does its gradient, so it is treated as a constant.
    largest = ops.stop_gradient(ops.max(ops.abs(vectors), axis=-1, keepdims=True, initial=0))
    scaled = vectors / ops.where(largest == 0, ops.ones_like(largest), largest)
    norm_squared = ops.sum(ops.square(scaled), axis=-1, keepdims=True)
    is_zero = norm_squared == 0
    scale = ops.rsqrt(ops.where(is_zero, ops.ones_like(norm_squared), norm_squared))
    return ops.where(is_zero, ops.zeros_like(scaled), scaled * scale)


def divide(x, y):
    """`x / y`; 0 where y is 0, with a gradient of 0."""
    is_zero = y == 0
    return ops.where(is_zero, 0.0, x / ops.where(is_zero, 1.0, y))


def safe_sqrt(x):
    """The square root, with a gradient of 0 at 0."""
    is_zero = x == 0
    return ops.where(is_zero, 0.0, ops.sqrt(ops.where(is_zero, 1.0, x)))
