"""Limits to the length of a job's texts: the longest one, and the memory."""

import os
import pathlib

import keras
import numpy as np

# Up to this length, the one that is asked for stays.
_ALWAYS_FINE = 1024
_CHUNK = 1024
# The phone's file is checked on 100 texts at once. The sum of all layers' outputs, twice, is about
# what this check needs, and what a training step on 64 texts needs.
_NUM_TEXTS, _BYTES = 100, 2 * 4
# A file without loops has a copy of an LSTM's cell for each word.
_MOST_STEPS = 4096


def limited_to(vocabulary, texts):
    """A vocabulary whose texts are as long as the longest of these texts, if that is less.

    Files with a fixed length cost time and memory for each word, even if no text has so many.

    Args:
        vocabulary: The `Vocabulary`.
        texts: Object array of str.

    Returns:
        The vocabulary, the same one or a shorter one.
    """
    if vocabulary.sequence_length <= _ALWAYS_FINE:
        return vocabulary
    longest = 0
    for start in range(0, len(texts), _CHUNK):
        pieces = vocabulary.pieces(list(texts[start : start + _CHUNK]))
        longest = max(longest, int(np.max(pieces.row_lengths().numpy())))
    longest = max(_ALWAYS_FINE, longest + 2 * vocabulary.add_special_tokens)
    if longest >= vocabulary.sequence_length:
        return vocabulary
    return type(vocabulary).from_config({**vocabulary.get_config(), "sequence_length": longest})


def teacher_length(sequence_length, texts):
    """The largest number of tokens of a teacher, no more than the longest text can have."""
    if sequence_length <= _ALWAYS_FINE:
        return sequence_length
    # A token has at least one byte of the text in UTF-8; two more tokens enclose the text.
    longest = max(len(text.encode()) for text in texts)
    return min(sequence_length, max(_ALWAYS_FINE, 2 + longest))


def check_memory(student, sequence_length, wanted, per_word, is_unrolled, memory=None):
    """Raises `ValueError` if texts of this length need more memory than there is.

    Args:
        student: The student, with an open length.
        sequence_length: The largest number of ids that a text has.
        wanted: The number of ids that the user allows, for the error.
        per_word: Ids of a word, for the error, which counts words as the job does.
        is_unrolled: Whether the phone's file has a copy of a cell for each id.
        memory: Bytes; None means those of this machine, if it tells them.
    """
    if sequence_length <= _ALWAYS_FINE:
        return
    memory = _memory() if memory is None else memory
    length, needed = sequence_length, _needed(student, sequence_length)
    while _needed(student, length) > memory or (is_unrolled and length > _MOST_STEPS):
        length //= 2
    if length < sequence_length:
        reason = f"need about {needed / 1e9:,.0f} GB, and there are {memory / 1e9:,.0f} GB"
        if is_unrolled and needed <= memory:
            reason = f"need {sequence_length:,} copies of an LSTM in a file without loops"
        raise ValueError(
            f"sequence_length must be less, such as {length // per_word:,}: texts as long as the "
            f"longest of the data {reason}. Received: sequence_length={wanted // per_word:,}, and "
            f"a text of {sequence_length // per_word:,}. Longer texts are cut."
        )


def _needed(student, length):
    """Bytes for the outputs of all layers, and for attention scores, of 100 texts."""
    num_values = 0
    for layer in student.layers:
        for tensor in keras.tree.flatten(layer.output):
            num_values += np.prod([float(size or length) for size in tensor.shape[1:]])
        num_values += float(getattr(layer, "num_heads", 0)) * length**2
    return _BYTES * _NUM_TEXTS * num_values


def _memory():
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return float("inf")  # Windows has no sysconf.
    try:
        # A container may have less.
        return min(memory, int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return memory
