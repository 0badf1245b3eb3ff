"""The manifest: describes a store's contents and its teacher."""

import dataclasses
import json
import pathlib
import reprlib

import xxhash

from keras_distill._arguments.checks import are_sizes
from keras_distill._arguments.checks import is_integer
from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill._files.destination import replaced_file
from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import SOFTMAX
from keras_distill.store.columns import FixedColumn
from keras_distill.store.columns import RaggedColumn
from keras_distill.store.columns import TopKColumn

# Format 1 stored probabilities unchanged, even in float16, and its manifest had no checksum.
FORMAT_VERSION = 2
_FILE = "manifest.json"
_DTYPES = ("float16", "float32")


@dataclasses.dataclass
class Manifest:
    """The contents of a store; differences are reported in the order of these fields.

    Args:
        teacher: Dict of hashes from `identify_teacher`.
        taps: List of paths.
        dtype: "float16" or "float32".
        top_k: Number of classes kept of "output", or None for all.
        example: The parts of one example: a list of [path, dtype, shape].
        num_examples: Number of examples.
        examples_per_shard: Number of examples in each shard but the last.
        columns: Dict from the name of an output to the shape of a row and the domain, as
            `output_domains` gives it; in format 1, to whether it is a probability.
        structure: Dict from tap to names of outputs, nested like the outputs.
        is_complete: Whether all shards are there.
        class_names: Names of the classes of "output", in their order; None without names, as
            in stores of older versions.
        format_version: Version of the format.
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
    class_names: list | None = None
    format_version: int = FORMAT_VERSION

    @property
    def num_shards(self):
        return -(-self.num_examples // self.examples_per_shard)

    def num_in_shard(self, index):
        """Number of examples in a shard, including those that were left out."""
        return min(self.examples_per_shard, self.num_examples - index * self.examples_per_shard)

    def make_columns(self):
        """Dict from the name of an output to its column."""
        return {name: self._column(name, **column) for name, column in self.columns.items()}

    def _column(self, name, shape, domain=None, is_probability=False):
        if self.top_k is not None and is_output(name):
            return TopKColumn(name, shape, self.top_k, is_probability or domain == SOFTMAX)
        kind = RaggedColumn if None in shape else FixedColumn
        as_logits = self.format_version > 1 and self.dtype == "float16"
        return kind(name, shape, self.dtype, as_logits)

    def domain(self, name):
        """The domain of an output as it is read, as `output_domains` gives it."""
        if self.top_k is not None and is_output(name):
            return LOGITS
        column = self.columns.get(name, {})
        return column.get("domain", SOFTMAX if column.get("is_probability") else None)

    def write(self, folder):
        """Writes the manifest next to the shards, in one step."""
        fields = dataclasses.asdict(self)
        if self.class_names is None:
            del fields["class_names"]  # Older versions do not know this field.
        if self.format_version > 1:
            fields["checksum"] = _checksum(fields)
        with replaced_file(folder / _FILE) as hidden:
            hidden.write_text(json.dumps(fields, indent=1), encoding="utf-8")


def is_output(name):
    """Whether this is the name of one of the teacher's own outputs, not of a hidden layer's."""
    return name == "output" or name.startswith("output[")


def read_manifest(folder):
    """Reads a store's manifest; None if there is none.

    Raises:
        ValueError: If it has a newer format, is damaged, or cannot be read.
    """
    path = pathlib.Path(folder, _FILE)
    if not path.exists():
        return None
    fields = _read_fields(path)
    version = fields["format_version"]
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{path} has the format {reprlib.repr(version)}, and this version of keras_distill "
            f"knows {FORMAT_VERSION} and older. pip install --upgrade keras-distill, or build the "
            "store again, in another folder."
        )
    checksum = fields.pop("checksum", None)
    if (version > 1 or checksum is not None) and checksum != _checksum(fields):
        raise ValueError(f"{path} is corrupt: its checksum differs. {_REMEDY}")
    fields.setdefault("class_names", None)
    wrong = _wrong_fields(fields)
    if wrong:
        raise ValueError(
            f"{path} must be the manifest of a TeacherStore. Received: "
            f"{', '.join(f'{printable(n)} {reprlib.repr(fields.get(n))}' for n in wrong[:5])}. "
            f"{_REMEDY}"
        )
    return Manifest(**fields)


_REMEDY = "Build the store again, in another folder."


def _read_fields(path):
    reason = "it is no file" if not path.is_file() else "it has no format_version"
    try:
        # A read from a pipe would wait forever.
        fields = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if isinstance(fields, dict) and is_integer(fields.get("format_version")):
            return fields
    except (OSError, ValueError, RecursionError) as error:
        reason = one_line(repr(error))
    raise ValueError(
        f"{path} cannot be read as the manifest of a TeacherStore: {reason}. {_REMEDY}"
    )


def _checksum(fields):
    try:
        # A round trip through JSON turns keys into strings, as in a manifest that was read.
        fields = json.loads(json.dumps(fields))
    except RecursionError:
        return ""  # No manifest has this checksum.
    return xxhash.xxh3_128_hexdigest(json.dumps(fields, sort_keys=True).encode())


def _wrong_fields(fields):
    """Names of the fields that are missing, unknown, or of a wrong type."""
    names = {field.name for field in dataclasses.fields(Manifest)}
    wrong = sorted(names ^ set(fields))
    columns = fields.get("columns")
    is_fine = {
        "teacher": lambda value: isinstance(value, dict) and "version" in value,
        "taps": _are_texts,
        "dtype": lambda value: value in _DTYPES,
        "top_k": lambda value: value is None or are_sizes([value]),
        "example": lambda value: isinstance(value, list) and all(map(_is_leaf, value)),
        "num_examples": lambda value: are_sizes([value]),
        "examples_per_shard": lambda value: are_sizes([value]),
        "columns": lambda value: isinstance(value, dict) and all(map(_is_column, value.values())),
        "structure": lambda value: (
            isinstance(value, dict)
            and isinstance(columns, dict)
            and sorted(map(repr, _leaves(value))) == sorted(map(repr, columns))
        ),
        "is_complete": lambda value: isinstance(value, bool),
        "class_names": lambda value: value is None or _are_texts(value),
        "format_version": lambda value: value >= 1,
    }
    return wrong or [name for name, check in is_fine.items() if not check(fields[name])]


def _leaves(structure):
    if isinstance(structure, (dict, list)):
        parts = structure.values() if isinstance(structure, dict) else structure
        return [leaf for part in parts for leaf in _leaves(part)]
    return [structure]


def _are_texts(value):
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_leaf(value):
    is_triple = isinstance(value, list) and len(value) == 3
    return is_triple and _are_texts(value[:2]) and _is_shape(value[2])


def _is_column(value):
    known = {"shape", "domain"}, {"shape", "is_probability"}
    return isinstance(value, dict) and set(value) in known and _is_shape(value["shape"])


def _is_shape(value):
    return isinstance(value, list) and all(
        size is None or (is_integer(size) and size >= 0) for size in value
    )


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
    """Yields the name, the stored and the wanted value of each field that differs.

    Args:
        stored, wanted: Dicts of fields, which may be dicts themselves.
    """
    for name, value in wanted.items():
        was = stored[name]
        if isinstance(value, dict) and isinstance(was, dict):
            for key, *values in differences(was, value):
                yield f"{name}'s {key}", *values
        elif was != value:
            yield name, was, value
