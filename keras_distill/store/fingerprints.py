"""Fingerprints of examples: what the teacher reads decides which stored outputs are theirs."""

import hashlib

import numpy as np

# Two halves: the first is searched for, the second tells two examples with an equal first apart.
_WORDS_PER_FINGERPRINT = 2


def fingerprint_rows(columns):
    """Hashes examples by their contents, types and shapes.

    BLAKE2b with 128 bits: among 10^9 examples two have the same one with a probability
    of 10^-21.

    Args:
        columns: List of what the examples are made of: arrays of numbers or of bytes with a
            first axis of examples, or lists of such where their lengths differ.

    Returns:
        uint64, `(num_examples, 2)`.
    """
    digests = [
        hashlib.blake2b(b"".join(parts), digest_size=8 * _WORDS_PER_FINGERPRINT).digest()
        for parts in zip(*map(_row_bytes, columns))
    ]
    # Of one byte order, so that a store can move between machines.
    words = np.frombuffer(b"".join(digests), "<u8").astype("uint64")
    return words.reshape(-1, _WORDS_PER_FINGERPRINT)


def _row_bytes(column):
    """Yields the bytes of each row, and all that tells it from rows of other types and shapes."""
    if isinstance(column, list):
        for row in column:
            yield from _row_bytes(np.asarray(row)[None])
        return
    kind = f"{column.dtype.str}{column.shape[1:]}".encode()
    if column.dtype == object:
        for row in column:
            texts = [row] if isinstance(row, bytes) else row.reshape(-1).tolist()
            yield b"%b%b" % (kind, b"".join([b"%d:%b" % (len(text), text) for text in texts]))
        return
    content = np.ascontiguousarray(column).data.cast("B") if column.size else b""
    size = len(content) // len(column)
    for start in range(0, len(content), size):
        yield kind + content[start : start + size]
