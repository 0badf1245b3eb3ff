"""Finds the stored outputs of examples by their fingerprints."""

import numpy as np

from keras_distill.store.shards import FINGERPRINTS


class Lookup:
    """The rows of all shards, by fingerprint.

    It holds 24 bytes for each example in memory; the outputs stay on disk, and the operating
    system caches those that are used often.

    Args:
        shards: List of `Shard`.
    """

    def __init__(self, shards):
        self._shards = shards
        # The fingerprints are copied, because each mapped array keeps a file open.
        by_shard = [np.array(shard.read(FINGERPRINTS)) for shard in shards]
        self._starts = np.cumsum([0, *map(len, by_shard)])
        fingerprints = np.concatenate(by_shard)
        self._order = np.argsort(fingerprints[:, 0], kind="stable")
        self._fingerprints = fingerprints[self._order]

    def __len__(self):
        return len(self._order)

    def find(self, fingerprints):
        """Returns the index of each example, int64 `(examples,)`, -1 for an unknown example."""
        first = self._fingerprints[:, 0]
        places = np.minimum(np.searchsorted(first, fingerprints[:, 0]), len(first) - 1)
        is_found = np.all(self._fingerprints[places] == fingerprints, axis=1)
        return np.where(is_found, self._order[places], -1)

    def locate(self, indices):
        """Returns `(members, shard, places)` for each shard that has some of the examples."""
        numbers = np.searchsorted(self._starts, indices, side="right") - 1
        numbers = np.where(indices < 0, -1, numbers)
        parts = []
        for number in np.unique(numbers[numbers >= 0]):
            members = np.flatnonzero(numbers == number)
            places = indices[members] - self._starts[number]
            parts.append((members, self._shards[number], places))
        return parts
