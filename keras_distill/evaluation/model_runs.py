"""Runs a model once over all examples, with a progress bar."""

import keras
import numpy as np

from keras_distill._keras.determinism import changed_output
from keras_distill._keras.output_domain import OTHER
from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import SOFTMAX
from keras_distill.evaluation.held_out import batches
from keras_distill.evaluation.held_out import take
from keras_distill.evaluation.word_axis import WordAxis

# Rounding error of float32 probabilities, also of a mean of several models.
_ROUNDING = 1e-3
_STEP_OF_8_BITS = 1 / 256


def run(name, source, columns, preprocessor, num_words, *, verbose):
    """Runs a model over all examples, batched by similar length.

    Args:
        name: The model's name, for errors.
        source: The result of `open_source`.
        columns: Nested `Column`s of the examples.
        preprocessor: Function from a batch of examples to the model's inputs.
        num_words: Number of words of each example if the model tags words, else None.
        verbose: Whether to show a progress bar.

    Returns:
        An array `(examples, ...)`; for tags a list of arrays `(words, tags)`.
    """
    num_examples = len(keras.tree.flatten(columns)[0])
    progress = keras.utils.Progbar(num_examples, unit_name="example", verbose=int(verbose))
    rows, axis = [None] * num_examples, WordAxis(source.tells_channels)
    for places in batches(columns, source.batch_size):
        inputs = preprocessor(take(columns, places))
        answers = _check(source(inputs), len(places))
        if num_words is not None:
            axis.look(answers, inputs)
        for place, row in zip(places, _rows(answers, places, num_words)):
            rows[place] = row
        progress.add(len(places))
    axis.check(name)
    return np.stack(rows) if num_words is None else rows


def change_between_runs(source, columns, preprocessor, num_words, rows):
    """Difference between two runs of a model on its first batch; None if they agree.

    Args:
        source, columns, preprocessor, num_words: As for `run`.
        rows: What `run` has returned; the model runs once more.
    """
    places = next(iter(batches(columns, source.batch_size)))
    answers = _check(source(preprocessor(take(columns, places))), len(places))
    again = _rows(answers, places, num_words)
    changed = changed_output({"output": [rows[place] for place in places]}, {"output": again})
    return None if changed is None else changed[1]


def _rows(answers, places, num_words):
    if num_words is None:
        return list(answers)
    return [_words(row, num_words[place]) for place, row in zip(places, answers)]


def _words(row, num_words):
    if row.ndim > 2:
        raise ValueError(
            "data must have one label, or one for each word, for each example. Received: labels "
            f"(examples, {num_words}), and a model that answers with {row.shape} for each. Compare "
            "maps of classes with positions as one axis: labels (examples, positions), and "
            "functions that return (examples, positions, classes)."
        )
    if row.ndim == 1:
        raise ValueError(
            "data must have one class for each example, where models give one row of classes for "
            f"each. Received: labels (examples, {num_words}), as of several classes for an example "
            "or of words. Compare one class after the other: one column of y, and functions that "
            "return the same column of the outputs."
        )
    if len(row) < num_words:
        raise ValueError(
            f"A model that tags must answer for every word. Received: {len(row)} answers for a "
            f"sentence of {num_words} words. Take a longer sequence_length, or shorter sentences."
        )
    return row[:num_words]


def log_probabilities(outputs, domain):
    """Log probabilities, `(..., classes)`, float64, of logits or probabilities.

    Args:
        outputs: `(..., classes)`; a single class is the second of two.
        domain: As `output_domains` gives it. If it is unknown, the values decide: from
            0 to 1, with sums of about 1, they are probabilities.
    """
    outputs = np.asarray(outputs, "float64")
    is_probability = are_probabilities(outputs, domain)
    if outputs.shape[-1] == 1:
        if is_probability:
            outputs = np.concatenate([1 - outputs, outputs], axis=-1)
        else:
            outputs = np.concatenate([np.zeros_like(outputs), outputs], axis=-1)
    if is_probability:
        # A probability that was rounded to 0 is less than the smallest positive one, which is tiny
        # in float32, and less than a step of 8 bits. Half of that makes the log finite.
        is_positive = outputs > 0
        step = min(_STEP_OF_8_BITS, outputs[is_positive].min())
        outputs = np.log(np.where(is_positive, outputs, step / 2))
    largest = outputs.max(axis=-1, keepdims=True)
    total = np.log(np.sum(np.exp(outputs - largest), axis=-1, keepdims=True))
    return outputs - largest - total


def are_probabilities(outputs, domain):
    """Whether outputs are probabilities, according to their domain or else their values."""
    if domain not in (None, OTHER):
        return domain in (SOFTMAX, SIGMOID)
    is_in_range = in_range_of_probabilities(outputs.min(), outputs.max())
    # With 8 bits, many small probabilities become 0, so that the sum is less than 1.
    sums_to_one = outputs.shape[-1] == 1 or abs(np.mean(outputs.sum(axis=-1)) - 1) < 0.1
    return bool(is_in_range and sums_to_one)


def in_range_of_probabilities(lowest, highest):
    """Whether values from lowest to highest lie between 0 and 1, apart from rounding."""
    return bool(lowest >= -_ROUNDING and highest <= 1 + _ROUNDING)


def _check(outputs, num_examples):
    outputs = outputs[:, None] if outputs.ndim == 1 else outputs
    if not np.issubdtype(outputs.dtype, np.floating) or len(outputs) != num_examples:
        raise ValueError(
            "A model must give floats, one row for each example: logits, probabilities or numbers. "
            f"Received: {outputs.dtype} of shape {outputs.shape} for {num_examples} examples."
        )
    if not np.isfinite(outputs).all():
        raise ValueError(
            "A model must give finite outputs. Received: NaN or infinity. Check its weights, and "
            "its dtype policy (float16 overflows)."
        )
    return outputs
