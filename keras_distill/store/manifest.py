"""The manifest: what a store holds, and of which teacher."""

import dataclasses
import json
import os
import pathlib

from keras_distill.store.columns import FixedColumn
from keras_distill.store.columns import RaggedColumn
from keras_distill.store.top_k import TopKColumn

FORMAT_VERSION = 1
_FILE = "manifest.json"


@dataclasses.dataclass
class Manifest:
    """What is stored, in the order in which a difference is reported.

    Args:
        teacher: Dict of hashes from `identify_teacher`.
        taps: List of paths.
        dtype: "float16" or "float32".
        top_k: Number of classes kept of "output", or None for all.
        example: What one example is made of: a list of [path, dtype, shape].
        num_examples: Number of examples.
        examples_per_shard: Number of examples in each shard but the last.
        columns: Dict from the name of an output to the shape of a row, and whether it is a
            probability.
        structure: Dict from tap to names of outputs, nested as they are.
        is_complete: Whether all shards are there.
        format_version: Of the format.
    """

    teacher: dict
    taps: list
    dtype: str
    top_k: int | None
    example: list
    num_examples: int
    examples_per_shard: int
    columns: dict
    structure: dict
    is_complete: bool = False
    format_version: int = FORMAT_VERSION

    @property
    def num_shards(self):
        return -(-self.num_examples // self.examples_per_shard)

    def make_columns(self):
        """Dict from the name of an output to its column."""
        return {name: self._column(name, **column) for name, column in self.columns.items()}

    def _column(self, name, shape, is_probability):
        if self.top_k is not None and name.startswith("output"):
            return TopKColumn(name, shape, self.top_k, is_probability)
        kind = RaggedColumn if None in shape else FixedColumn
        return kind(name, shape, self.dtype)

    def write(self, folder):
        """Writes it beside the shards, in one step."""
        path, hidden = folder / _FILE, folder / f".{_FILE}"
        with open(hidden, "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(self), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(hidden, path)


def read_manifest(folder):
    """Reads a store's manifest; None if there is none.

    Raises:
        ValueError: If it is of a newer format, or cannot be read.
    """
    path = pathlib.Path(folder, _FILE)
    if not path.exists():
        return None
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        version = fields["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read as the manifest of a TeacherStore: {error!r}. Build the store "
            "again, in another folder."
        ) from error
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{path} has the format {version}, and this version of keras_distill knows "
            f"{FORMAT_VERSION} and older. pip install --upgrade keras-distill, or build the store "
            "again, in another folder."
        )
    return Manifest(**fields)


def check_same(path, stored, wanted):
    """Raises `ValueError` that names the first field in which two manifests differ.

    Args:
        path: The store's folder, for the error.
        stored, wanted: As for `differences`.
    """
    for name, was, value in differences(stored, wanted):
        raise ValueError(
            f"The store in {path} was built with another {name}. Received: {value!r}; stored: "
            f"{was!r}. Build another store, in another folder."
        )


def differences(stored, wanted):
    """Yields the name of each field that differs, what is stored and what is wanted.

    Args:
        stored, wanted: Dicts of fields, those of dicts too.
    """
    for name, value in wanted.items():
        was = stored[name]
        if isinstance(value, dict) and isinstance(was, dict):
            for key, *values in differences(was, value):
                yield f"{name}'s {key}", *values
        elif was != value:
            yield name, was, value
