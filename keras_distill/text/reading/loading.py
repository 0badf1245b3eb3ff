"""Loads texts and labels from files, lists and TFDS."""

import numpy as np

from keras_distill.text.reading import files
from keras_distill.text.reading.rows import Row
from keras_distill.text.reading.rows import make_examples


def read_tsv(path, text="text", label="label", class_names=None, *, regression=False, tags=False):
    """Reads a tab-separated file with a header line.

    There is no quoting: a quotation mark is ordinary text. You get a warning if a file seems to use
    quoting. Blank lines are skipped.

    Args:
        path: The file, UTF-8; gzip if its name ends in .gz.
        text: Name of the text's column; a pair of names for sentence pairs. Defaults to
            "text".
        label: Name of the label's column, or None for unlabelled text. Defaults to
            "label".
        class_names: The names of the classes in the order of their indices. For dev and
            test files, give those of the training examples, so that indices agree and a label
            unseen in training raises an error. None takes the labels of the file, sorted
            (numbers by value). A label is a name even if it is a number: "0" is the class
            called "0". Defaults to None.
        regression: Whether labels are numbers to predict. Defaults to False.
        tags: Whether the text is words and the label their tags, both separated by
            spaces. class_names are then the names of the tags. Defaults to False.

    Returns:
        `Examples`.

    Raises:
        ValueError: If the file cannot be read, is empty or not UTF-8, or lacks a column; if
            a line has another number of fields than the header, no label, a label that is
            not in class_names or not a number, or not one tag for each word. The message has
            the path and the line number.

    Example:

    ```python
    train = kd.text.read_tsv("train.tsv.gz")
    dev = kd.text.read_tsv("dev.tsv.gz", class_names=train.class_names)
    pairs = kd.text.read_tsv("mrpc.tsv", text=("sentence1", "sentence2"))
    entities = kd.text.read_tsv("wnut17.tsv", text="tokens", label="tags", tags=True)
    ```
    """
    return _read(files.tsv_records, path, text, label, class_names, regression, tags)


def read_csv(path, text="text", label="label", class_names=None, *, regression=False, tags=False):
    """Reads a comma-separated file with a header line.

    A field in quotation marks may contain commas, line ends and doubled quotation
    marks. Blank lines are skipped.

    Args:
        path, text, label, class_names, regression, tags: As for `read_tsv`.

    Returns:
        `Examples`.

    Raises:
        ValueError: As for `read_tsv`, and if a quotation mark is not closed.

    Example:

    ```python
    train = kd.text.read_csv("reviews.csv", text="review", label="stars")
    ```
    """
    return _read(files.csv_records, path, text, label, class_names, regression, tags)


def read_jsonl(path, text="text", label="label", class_names=None, *, regression=False, tags=False):
    """Reads a file with a JSON object on each line.

    Args:
        path: The file, UTF-8; gzip if its name ends in .gz.
        text: Key of the text, a string; a pair of keys for sentence pairs. Defaults to
            "text".
        label: Key of the label, a string or an integer, or None for unlabelled text.
            Defaults to "label".
        class_names, regression: As for `read_tsv`.
        tags: Whether the text is words and the label their tags: lists, or strings
            separated by spaces. Defaults to False.

    Returns:
        `Examples`.

    Raises:
        ValueError: As for `read_tsv`, and if a line is not a JSON object or a text is not a
            string.

    Example:

    ```python
    train = kd.text.read_jsonl("intents.jsonl.gz", text="query", label="intent")
    ```
    """
    return _read(files.json_records, path, text, label, class_names, regression, tags)


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
        labels: Strings or integers, which are names of classes as in `read_tsv`; floats
            for regression; lists of tags for tagging; None for unlabelled texts.
            Defaults to None.
        class_names: As for `read_tsv`. Defaults to None.
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


def _read(read_records, path, text, label, class_names, regression, tags):
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
    for number, values in read_records(path, columns):
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
