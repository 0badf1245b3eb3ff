"""The tables of TFLite's metadata, built as a flatbuffer.

The field names and their order are those of TensorFlow's metadata_schema.fbs (Apache-2.0),
which every reader of metadata shares.
"""

import flatbuffers
import numpy as np

FILE_IDENTIFIER = b"M001"
# Name of the metadata in the file's list.
ENTRY = "TFLITE_METADATA"

# A union has two fields: its type and its value.
_FIELDS = {
    "ModelMetadata": (
        "name",
        "description",
        "version",
        "subgraph_metadata",
        "author",
        "license",
        "associated_files",
        "min_parser_version",
    ),
    "SubGraphMetadata": (
        "name",
        "description",
        "input_tensor_metadata",
        "output_tensor_metadata",
        "associated_files",
        "input_process_units",
        "output_process_units",
    ),
    "TensorMetadata": (
        "name",
        "description",
        "dimension_names",
        "content",
        "process_units",
        "stats",
        "associated_files",
    ),
    "Content": ("content_properties_type", "content_properties", "range"),
    "FeatureProperties": (),
    "ImageProperties": ("color_space",),
    "ProcessUnit": ("options_type", "options"),
    "NormalizationOptions": ("mean", "std"),
    "BertTokenizerOptions": ("vocab_file",),
    "RegexTokenizerOptions": ("delim_regex_pattern", "vocab_file"),
    "Stats": ("max", "min"),
    "AssociatedFile": ("name", "description", "type"),
}
# Types of these unions are bytes; all other fields are offsets.
CONTENT_TYPES = {"FeatureProperties": 1, "ImageProperties": 2}
OPTION_TYPES = {"NormalizationOptions": 1, "BertTokenizerOptions": 4, "RegexTokenizerOptions": 6}
LABELS, VOCABULARY = 2, 5
RGB, GRAYSCALE = 1, 2


class Table:
    """One table: its kind, and its fields by name.

    Values are str, bytes-sized int (enumerations), `Table`, or lists of str, float or
    `Table`.
    """

    def __init__(self, kind, **fields):
        self.places = {_FIELDS[kind].index(name): value for name, value in fields.items()}
        self.num_places = len(_FIELDS[kind])

    def to_bytes(self):
        """The whole flatbuffer, with this table as its root."""
        builder = flatbuffers.Builder(1024)
        builder.Finish(_write(builder, self), file_identifier=FILE_IDENTIFIER)
        return bytes(builder.Output())


def slot(kind, field):
    """Position of a field's offset in the vtable of a kind of table."""
    return 4 + 2 * _FIELDS[kind].index(field)


def content(kind, **fields):
    """A `Content` of a kind of `CONTENT_TYPES`."""
    properties = Table(kind, **fields)
    return Table(
        "Content", content_properties_type=CONTENT_TYPES[kind], content_properties=properties
    )


def process_unit(kind, **fields):
    """A `ProcessUnit` of a kind of `OPTION_TYPES`."""
    options = Table(kind, **fields)
    return Table("ProcessUnit", options_type=OPTION_TYPES[kind], options=options)


def _write(builder, value):
    """Writes the value that a field points to, and returns its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, Table):
        return _write_table(builder, value)
    if all(isinstance(item, float) for item in value):
        return builder.CreateNumpyVector(np.array(value, "float32"))
    offsets = [_write(builder, item) for item in value]
    builder.StartVector(4, len(offsets), 4)
    # A flatbuffer is written from its end to its start.
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _write_table(builder, table):
    # Values must be written before the table that points to them.
    written = {
        place: value if isinstance(value, int) else _write(builder, value)
        for place, value in table.places.items()
    }
    builder.StartObject(table.num_places)
    for place, value in written.items():
        if isinstance(table.places[place], int):
            builder.PrependUint8Slot(place, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(place, value, 0)
    return builder.EndObject()
