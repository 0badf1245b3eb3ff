"""Records of text files, each with the number of its line."""

import collections
import contextlib
import csv
import gzip
import json
import pathlib
import threading
import warnings
import zlib

# This limit fits into a C long on all systems.
_LARGEST_FIELD = 2**31 - 1
_field_size_lock = threading.Lock()


_SEPARATORS = {";": "';'", "\t": "tabs", "|": "'|'", ",": "','"}
# Usual names of a column of classes.
_LABELS = {
    *("label", "labels", "class", "category", "intent", "sentiment", "target", "tag", "topic", "y"),
}


def tsv_records(path, columns):
    """Yields `(line number, [field of each column])` of tab-separated lines.

    There is no quoting: a quotation mark is text. Blank lines are skipped.

    Warns:
        UserWarning: Once, if a field is quoted as in CSV.
    """
    lines = ((number, line.split("\t")) for number, line in numbered_lines(path))
    is_told = False
    for number, fields in _columns_of_table(path, lines, columns):
        if not is_told and any(map(_is_quoted, fields)):
            is_told = True
            warnings.warn(
                f"{path}, line {number} has a field in quotation marks with doubled ones in it, as "
                "pandas and spreadsheets write them. In a TSV they are text, and students would "
                "learn them. Write the table without quoting, or as .csv.",
                stacklevel=2,
            )
        yield number, fields


def _is_quoted(field):
    inside = field[1:-1]
    is_around = len(field) > 1 and field[0] == field[-1] == '"'
    return is_around and '""' in inside and '"' not in inside.replace('""', "")


def csv_records(path, columns):
    """Yields `(line number, [field of each column])` of comma-separated records.

    A field in quotation marks may contain commas and line ends; the line number is that of
    the record's first line. Blank lines are skipped.
    """
    return _columns_of_table(path, _csv_fields(path), columns)


def json_records(path, columns):
    """Yields `(line number, [value of each key])` of lines of JSON objects."""
    for number, line in numbered_lines(path):
        try:
            record = json.loads(line, object_pairs_hook=_object)
        # A ValueError comes from JSON, or from a number with thousands of digits.
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{path}, line {number}: every line must be a JSON object. Received: "
                f"{line[:80]!r} ({error}). Correct or remove the line."
            ) from None
        if not isinstance(record, dict):
            raise ValueError(
                f"{path}, line {number}: every line must be a JSON object. Received: "
                f"{line[:80]!r}. Write the text under a key."
            )
        for column in columns:
            if isinstance(record.get(column), _Repeated):
                raise ValueError(
                    f"{path}, line {number} has the key {column!r} more than once. Received: "
                    f"{line[:80]!r}. Remove or rename all but one."
                )
            if column not in record:
                raise ValueError(
                    f"{path}, line {number} has no key {column!r}. Its keys are {list(record)}. "
                    + _advice(columns, list(record))
                )
        yield number, [record[column] for column in columns]


class _Repeated:
    """Marks the value of a key that an object has more than once."""


TABLE_RECORDS = {"csv": csv_records, "tsv": tsv_records, "jsonl": json_records}
TABLE_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".jsonlines": "jsonl",
    ".ndjson": "jsonl",
}


def table_format(path):
    """Returns the key of `TABLE_RECORDS` that a file's name tells, or None."""
    path = pathlib.Path(str(path).lower())
    return TABLE_SUFFIXES.get(pathlib.Path(path.stem if path.suffix == ".gz" else path).suffix)


def _object(pairs):
    record = dict(pairs)
    if len(record) < len(pairs):
        counts = collections.Counter(key for key, _ in pairs)
        record.update((key, _Repeated()) for key, count in counts.items() if count > 1)
    return record


def numbered_lines(path, file=None):
    """Yields `(line number, line)` of the lines that are not blank.

    The file is UTF-8, with or without a byte order mark, and gzip if its name ends in .gz.

    Args:
        path: The file, or its name in errors.
        file: An open binary file to read instead, such as standard input.

    Raises:
        ValueError: If the file cannot be read, has no text, is not UTF-8, or has other line ends.
    """
    is_empty = True
    for number, line in enumerate(_raw_lines(path, file), start=1):
        line = line.rstrip("\r\n")
        if line.strip():
            is_empty = False
            yield number, line
    if is_empty:
        raise ValueError(f"{path} is empty. Give a file with text.")


def _raw_lines(path, file=None):
    for number, line in enumerate(_decoded_lines(path, file), start=1):
        if number == 1:
            line = line.removeprefix("\ufeff")
            if "\r" in line.rstrip("\r\n") and not line.endswith("\n"):
                # Otherwise the whole file would be one line.
                raise ValueError(
                    f"{path} must have a line end, LF, behind each line. Received: line ends of CR "
                    f"alone, {line[:80]!r}. Save the file with other line ends."
                )
        yield line


def _decoded_lines(path, file):
    number = 0
    try:
        with contextlib.nullcontext(file) if file is not None else _open(path) as lines:
            for number, line in enumerate(lines, start=1):  # noqa: B007
                yield line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}, line {number} is not UTF-8: byte {error.start + 1} of the line is "
            f"0x{error.object[error.start]:02x}. Save the file as UTF-8 (a compressed file must "
            "end in .gz)."
        ) from None
    except IsADirectoryError as error:
        raise ValueError(
            f"{path} cannot be read: it is a folder. Give the path of a readable text file, plain "
            "or .gz."
        ) from error
    # A ValueError comes from a path that contains NUL.
    except (OSError, EOFError, zlib.error, ValueError) as error:
        where = f", after line {number}" if number else ""
        raise ValueError(
            f"{path} cannot be read{where}: {error}. Give the path of a readable text file, plain "
            "or .gz."
        ) from error


def _open(path):
    return gzip.open(path) if pathlib.Path(path).suffix.lower() == ".gz" else open(path, "rb")


def _csv_fields(path):
    # numbered_lines is not suitable: line ends in a quoted field belong to the field.
    reader = csv.reader(_raw_lines(path), strict=True)
    first_line = 1
    try:
        for fields in _records(reader):
            if fields:
                yield first_line, fields
            first_line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {first_line} is no CSV: {error}. Double the quotation marks inside a "
            "quoted field and close each; a .tsv file has no quoting."
        ) from None


def _records(reader):
    """The records of a reader with fields of any length.

    The limit is global to the program, so it is restored for other readers.
    """
    while True:
        with _field_size_lock:
            before = csv.field_size_limit(_LARGEST_FIELD)
            try:
                record = next(reader, None)
            finally:
                csv.field_size_limit(before)
        if record is None:
            return
        yield record


def _other_separator(header):
    """A sentence for a table that is read as one column; None for other tables."""
    found = [mark for mark in _SEPARATORS if len(header) == 1 and mark in header[0]]
    if not found:
        return None
    name = _SEPARATORS[found[0]]
    return f"The file seems to be separated by {name}. Save it as .csv with commas, or as .tsv."


def _advice(wanted, found):
    """A sentence with the columns that a table may mean.

    Args:
        wanted: The columns that were asked for, of the text and perhaps of the label.
        found: The columns that there are.
    """
    free = [column for column in found if column not in wanted]
    # The sort is stable: of several columns that may be it, the last one is the label.
    free.sort(key=lambda column: str(column).lower() in _LABELS)
    chosen = dict(zip(("text", "label"), wanted))
    for name in ("label", "text"):
        if name in chosen and chosen[name] not in found and free:
            place = -1 if name == "label" else 0
            chosen[name] = free.pop(place)
    given = " and ".join(f"{name}={column!r}" for name, column in chosen.items())
    return f"Give {given}; label=None reads unlabelled text."


def _columns_of_table(path, records, columns):
    _, header = next(records, (0, None))
    if header is None:
        raise ValueError(f"{path} is empty. Give a file with text.")
    for column in columns:
        if column not in header:
            raise ValueError(
                f"{path} has no column {column!r}. Its columns are {header}. "
                + (_other_separator(header) or _advice(columns, header))
            )
        if header.count(column) > 1:
            raise ValueError(
                f"{path} has the column {column!r} more than once. Its columns are {header}. "
                "Remove or rename all but one."
            )
    positions = [header.index(column) for column in columns]
    names = sorted(header)
    for number, fields in records:
        # Concatenated files repeat the header, perhaps with a byte order mark.
        if len(header) > 1 and sorted(f.removeprefix("\ufeff") for f in fields) == names:
            raise ValueError(
                f"{path}, line {number} is a header again. Received: {fields!r:.120}. Put tables "
                "together without the headers of all but the first: it would be an example."
            )
        if len(fields) != len(header):
            raise ValueError(
                f"{path}, line {number} has {len(fields)} fields, the header {len(header)}. "
                f"Received: {fields!r:.120}. Correct or remove the line."
            )
        yield number, [fields[position] for position in positions]
