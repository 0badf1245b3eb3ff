"""Names of a store's outputs, which are also the names of its files."""

import urllib.parse

from keras_distill.store.manifest import is_output
from keras_distill.store.shards import DROPPED
from keras_distill.store.shards import FINGERPRINTS

# What columns write behind the name of an output.
_PARTS = ("", ".classes", ".ends", ".logits", ".shapes", ".tail", ".top", ".values")
# File systems have names of at most 255 bytes, with the parts and the suffix.
_MOST_BYTES = 200


def output_names(names):
    """Makes names that no file system takes for those of one file.

    Layers may be called "Conv" and "conv", which are one file under macOS and Windows, or
    "fingerprints", which is a file of every shard. Only such names get a number.

    Args:
        names: Names of the teacher's outputs.

    Returns:
        Dict from each name to its name in the store.
    """
    taken, found = {FINGERPRINTS, DROPPED}, {}
    # The teacher's own outputs are known by their names, so they keep them.
    for name in sorted(names, key=lambda name: not is_output(name)):
        number, unique = 1, _short(name)
        while taken & _files(unique):
            number += 1
            unique = f"{_short(name)}~{number}"
        taken |= _files(unique)
        found[name] = unique
    return found


def _short(name):
    while len(_quoted(name)) > _MOST_BYTES:
        name = name[:-1]
    return name


def _files(name):
    return {_quoted(name + part).lower() for part in _PARTS}


def _quoted(name):
    return urllib.parse.quote(name, safe="")
