"""Closed forms of the losses in float64, and in 60 digits where float64 cancels.

Each returns `(values, gradient)`: unreduced values, and the gradient of their sum by
the student.
"""

import decimal
from decimal import Decimal

import numpy as np
import tensorflow as tf
from scipy.special import log_softmax


def soft_target_kl(teacher, student, temperature):
    teacher, student = (np.asarray(z, "float64") / temperature for z in (teacher, student))
    log_p, log_q = log_softmax(teacher, axis=-1), log_softmax(student, axis=-1)
    values = temperature**2 * np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)
    return values, temperature * (np.exp(log_q) - np.exp(log_p))


def soft_target_cross_entropy(teacher, student, temperature):
    teacher, student = (np.asarray(z, "float64") / temperature for z in (teacher, student))
    log_p, log_q = log_softmax(teacher, axis=-1), log_softmax(student, axis=-1)
    values = -(temperature**2) * np.sum(np.exp(log_p) * log_q, axis=-1)
    return values, temperature * (np.exp(log_q) - np.exp(log_p))


def binary_soft_targets(teacher, student, temperature):
    # sigmoid(z) and 1 - sigmoid(z) as exp(-log(1 + exp(-z))): both keep their digits.
    log_p, log_q, log_not_p, log_not_q = (
        -np.logaddexp(0, -sign * np.asarray(z, "float64") / temperature)
        for sign in (1, -1)
        for z in (teacher, student)
    )
    yes, no = np.exp(log_p) * (log_p - log_q), np.exp(log_not_p) * (log_not_p - log_not_q)
    values = temperature**2 * np.mean(yes + no, axis=-1)
    return values, temperature * (np.exp(log_q) - np.exp(log_p)) / np.shape(student)[-1]


def mean_squared_error(teacher, student):
    difference = np.asarray(student, "float64") - np.asarray(teacher, "float64")
    return np.mean(difference**2, axis=-1), 2 * difference / difference.shape[-1]


def cosine(teacher, student):
    a, b = (np.asarray(z, "float64") for z in (teacher, student))
    a_norm, b_norm = (np.linalg.norm(z, axis=-1, keepdims=True) for z in (a, b))
    similarity = np.sum(a * b, axis=-1, keepdims=True) / (a_norm * b_norm)
    return 1 - similarity[..., 0], similarity * b / b_norm**2 - a / (a_norm * b_norm)


def exact_soft_target_kl(teacher, student, temperature):
    """`soft_target_kl` of `(batch, classes)` in 60 digits, for divergences near 0."""
    with decimal.localcontext(decimal.Context(prec=60)):
        squared, values, gradient = Decimal(temperature) ** 2, [], []
        for teacher_row, student_row in zip(teacher, student):
            log_p, log_q = (_exact_log_softmax(z, temperature) for z in (teacher_row, student_row))
            terms = [a.exp() * (a - b) for a, b in zip(log_p, log_q)]
            values.append(float(squared * sum(terms)))
            differences = [b.exp() - a.exp() for a, b in zip(log_p, log_q)]
            gradient.append([float(Decimal(temperature) * d) for d in differences])
    return np.array(values), np.array(gradient)


def _exact_log_softmax(logits, temperature):
    logits = [Decimal(float(z)) / Decimal(temperature) for z in logits]
    normaliser = sum(z.exp() for z in logits).ln()
    return [z - normaliser for z in logits]


def run(loss, teacher, student):
    """The package's unreduced values and gradient, in the same form."""
    student = tf.convert_to_tensor(student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        values = loss(teacher, student)
    return values, tape.gradient(values, student)


def norm_error(actual, expected):
    actual = np.asarray(tf.cast(actual, "float64"))
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


def uniform(limit, shape, dtype="float32", seed=0):
    """Teacher and student, uniform in +-limit."""
    return np.random.default_rng(seed).uniform(-limit, limit, (2, *shape)).astype(dtype)
