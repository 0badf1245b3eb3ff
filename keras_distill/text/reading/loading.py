"""Loads texts and labels from files, lists and TFDS."""

import numpy as np

from keras_distill.text.reading import files
from keras_distill.text.reading.rows import Row
from keras_distill.text.reading.rows import make_examples


def read_table(
    path,
    text="text",
    label="label",
    class_names=None,
    *,
    file_format=None,
    regression=False,
    tags=False,
):
    """Reads texts and labels from the columns of a table.

    In a CSV file, a field in quotation marks may contain commas, line ends and doubled quotation
    marks. In a TSV file there is no quoting: a quotation mark is ordinary text, and you get a
    warning if the file seems to use quoting. Blank lines are skipped.

    Args:
        path: The file, UTF-8; gzip if its name ends in .gz.
        text: Name of the text's column; a pair of names for sentence pairs. In JSON Lines, a key
            whose value is a string. Defaults to "text".
        label: Name of the label's column, or None for unlabelled text. In JSON Lines, a key whose
            value is a string or an integer. Defaults to "label".
        class_names: The names of the classes in the order of their indices. For dev and
            test files, give those of the training examples, so that indices agree and a label
            unseen in training raises an error. None takes the labels of the file, sorted
            (numbers by value). A label is a name even if it is a number: "0" is the class
            called "0". Defaults to None.
        file_format: "csv", "tsv" (both with a header line) or "jsonl" (a JSON object on each line).
            None takes it from the file's name: .csv, .tsv or .tab, .jsonl, .jsonlines or .ndjson,
            each also with .gz. Defaults to None.
        regression: Whether labels are numbers to predict. Defaults to False.
        tags: Whether the text is words and the label their tags, both separated by spaces, or
            lists in JSON Lines. class_names are then the names of the tags. Defaults to False.

    Returns:
        `Examples`.

    Raises:
        ValueError: If the file's name tells no format; if the file cannot be read, is empty or
            not UTF-8, or lacks a column; if a line has another number of fields than the header,
            is not a JSON object, does not close a quotation mark, or has no label, a label that
            is not in class_names or not a number, or not one tag for each word. The message has
            the path and the line number.

    Example:

    ```python
    train = kd.text.read_table("train.tsv.gz")
    dev = kd.text.read_table("dev.tsv.gz", class_names=train.class_names)
    pairs = kd.text.read_table("mrpc.csv", text=("sentence1", "sentence2"))
    entities = kd.text.read_table("wnut17.jsonl", text="tokens", label="tags", tags=True)
    ```
    """
    if file_format is None:
        file_format = files.table_format(path)
    if file_format not in files.TABLE_RECORDS:
        names = ", ".join(map(repr, files.TABLE_RECORDS))
        raise ValueError(
            f"Give file_format, one of {names}, for a table whose name does not end in "
            f"{', '.join(files.TABLE_SUFFIXES)} (or with .gz behind it). Received: path={path!r}, "
            f"file_format={file_format!r}"
        )
    is_pair = not isinstance(text, str)
    if is_pair and (len(text) != 2 or tags):
        raise ValueError(
            "text must be the name of one column, or of two for pairs, which have no tags. "
            f"Received: text={text!r}, tags={tags}"
        )
    columns = [*text] if is_pair else [text]
    if label is not None:
        columns.append(label)
    if len(set(columns)) < len(columns):
        raise ValueError(
            "text= and label= must be different columns. Received: "
            f"{', '.join(map(repr, columns))}. A text that is its own label teaches nothing."
        )
    rows = []
    for number, values in files.TABLE_RECORDS[file_format](path, columns):
        value = tuple(values[:2]) if is_pair else values[0]
        rows.append(Row(f"{path}, line {number}", value, None if label is None else values[-1]))
    if not rows:
        raise ValueError(f"{path} has no line after the header. Give a file with examples.")
    return make_examples(
        rows,
        is_labelled=label is not None,
        class_names=class_names,
        regression=regression,
        tags=tags,
    )


def read_lines(path, file=None):
    """Reads unlabelled texts, one on each line. Blank lines are skipped.

    Args:
        path: The file, UTF-8; gzip if its name ends in .gz.
        file: An open binary file to read instead, such as `sys.stdin.buffer`; path is then
            its name in errors. Defaults to None.

    Returns:
        `Examples` without labels.

    Raises:
        ValueError: If the file cannot be read, is empty or not UTF-8.

    Example:

    ```python
    transfer_set = train + kd.text.read_lines("unlabelled.txt")
    ```
    """
    lines = files.numbered_lines(path, file)
    rows = [Row(f"{path}, line {number}", line) for number, line in lines]
    return make_examples(rows, is_labelled=False)


def from_lists(texts, labels=None, class_names=None, *, tags=False):
    """Takes texts and labels from Python lists or arrays.

    Args:
        texts: Strings; for sentence pairs, tuples or lists of two strings; for tagging,
            lists of words.
        labels: Strings or integers, which are names of classes as in `read_table`; floats
            for regression; lists of tags for tagging; None for unlabelled texts.
            Defaults to None.
        class_names: As for `read_table`. Defaults to None.
        tags: Whether texts are lists of words and labels lists of tags. Defaults to
            False.

    Returns:
        `Examples`.

    Raises:
        ValueError: If there are no texts, not as many labels as texts, or a text or label is
            invalid; the message has its index.

    Example:

    >>> examples = from_lists(["good film", "dull", "fine"], [10, 9, 10])
    >>> examples.labels, examples.class_names
    (array([1, 0, 1], dtype=int32), ('9', '10'))
    >>> from_lists(["a film", "a book"], [4.5, 1.0]).labels
    array([4.5, 1. ], dtype=float32)
    >>> words = from_lists([["in", "Paris"]], [["O", "B-place"]], tags=True)
    >>> words.labels[0], words.class_names
    (array([1, 0], dtype=int32), ('B-place', 'O'))
    """
    if isinstance(texts, (str, bytes)) or len(texts) == 0:
        raise ValueError(f"texts must be a list with a text in it. Received: texts={texts!r:.80}")
    if labels is not None and len(labels) != len(texts):
        raise ValueError(
            "labels must have one entry for each text. Received: "
            f"{len(texts)} texts, {len(labels)} labels"
        )
    regression = labels is not None and all(isinstance(n, (float, np.floating)) for n in labels)
    each_label = [None] * len(texts) if labels is None else labels
    rows = [
        Row(f"texts[{index}]", text, label)
        for index, (text, label) in enumerate(zip(texts, each_label))
    ]
    return make_examples(
        rows,
        is_labelled=labels is not None,
        class_names=class_names,
        regression=regression,
        tags=tags,
    )
