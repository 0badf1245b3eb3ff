"""Loads texts and labels by the name of a TensorFlow dataset."""

import urllib.parse

import numpy as np

from keras_distill._arguments.imports import import_module
from keras_distill.text.reading.rows import Row
from keras_distill.text.reading.rows import make_examples

_BATCH_SIZE = 1024
_SECONDS_TO_ANSWER = 5


def load_tfds(name, split, text=None, label="label", class_names=None, *, data_dir=None):
    """Loads a split of a TensorFlow dataset (TFDS), and downloads it if necessary.

    Args:
        name: Name as for `tfds.load`: "glue/sst2", "imdb_reviews".
        split: Split as for `tfds.load`: "train", "train[:10%]".
        text: Name of the text feature; a pair of names for sentence pairs. None takes the
            dataset's only text feature. Defaults to None.
        label: Name of the label feature: a class, an integer, or a float for regression.
            None for unlabelled text. A split that has -1 for all its labels, as GLUE's
            test splits do, gives unlabelled text. Defaults to "label".
        class_names: As for `read_table`; None takes the dataset's own names. Defaults to None.
        data_dir: Folder of the prepared datasets, as for `tfds.load`. Defaults to TFDS's
            own.

    Returns:
        `Examples`.

    Raises:
        ValueError: If there is no such dataset, split or feature, the dataset is not in
            data_dir and no download host answers, or a text is not UTF-8.

    Example:

    ```python
    train = kd.text.load_tfds("glue/sst2", "train")
    dev = kd.text.load_tfds("glue/sst2", "validation", class_names=train.class_names)
    pairs = kd.text.load_tfds("glue/mrpc", "train", text=("sentence1", "sentence2"))
    ```
    """
    tfds = import_module("tensorflow_datasets")
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except ValueError as error:
        raise ValueError(
            f"name must be that of a TensorFlow dataset. Received: name={name!r}, "
            f"data_dir={data_dir!r}. TFDS says: {error!s:.300}"
        ) from None
    features = builder.info.features
    texts = _text_features(tfds, name, features, text)
    if label is not None and label not in features:
        raise ValueError(
            f"label must be a feature of {name}, which has {sorted(features)}. Received: "
            f"label={label!r}; None reads unlabelled text."
        )
    columns = [*texts, label]
    if len(set(columns)) < len(columns):
        raise ValueError(
            "text= and label= must be different features. Received: "
            f"{', '.join(map(repr, columns))}. A text that is its own label teaches nothing."
        )
    if not builder.is_prepared():
        _check_reachable(builder, name, data_dir)
        builder.download_and_prepare()
    try:
        dataset = builder.as_dataset(split=split)
    except ValueError as error:
        raise ValueError(f"split must be one of {name}. Received: {split=}. {error}") from None
    rows = _rows(f"{name} {split}", dataset, texts, label)
    return _make_examples(tfds, rows, None if label is None else features[label], class_names)


def _text_features(tfds, name, features, text):
    # Sorted, because TFDS gives the features of a prepared dataset in any order.
    known = sorted(key for key in features if isinstance(features[key], tfds.features.Text))
    texts = known if text is None else np.atleast_1d(text).tolist()
    is_chosen = len(texts) == 1 or (len(texts) == 2 and text is not None)
    if not is_chosen or not set(texts) <= set(known):
        raise ValueError(
            f"text must be a text feature of {name}, or two for pairs. Its text features are "
            f"{known}. Received: text={text!r}"
        )
    return texts


def _check_reachable(builder, name, data_dir):
    """Raises if no host answers, because TFDS would retry each file for minutes."""
    import requests  # It comes with tensorflow-datasets.

    hosts = {urllib.parse.urlsplit(url)[:2] for url in builder.url_infos or ()}
    for scheme, host in sorted(hosts):
        if scheme not in ("http", "https"):
            return
        try:
            requests.head(f"{scheme}://{host}", timeout=_SECONDS_TO_ANSWER)
        except requests.RequestException as error:
            last_error = error
        else:
            return
    if hosts:
        raise ValueError(
            f"The dataset {name} is not prepared in {builder.data_dir}, and none of the hosts "
            f"{sorted(host for _, host in hosts)} that have its files answers ({last_error}). "
            "Connect to the network, or give the data_dir of a machine where it was prepared. "
            f"Received: {name=}, {data_dir=}"
        )


def _rows(place, dataset, texts, label):
    keys = texts if label is None else [*texts, label]
    batches = dataset.map(lambda example: [example[key] for key in keys]).batch(_BATCH_SIZE)
    rows = []
    for batch in batches.as_numpy_iterator():
        for *values, last in zip(*batch):
            found = [*values, last] if label is None else values
            where = f"{place}, example {len(rows)}"
            decoded = tuple(_decoded(where, value) for value in found)
            value = decoded if len(decoded) == 2 else decoded[0]
            rows.append(Row(where, value, None if label is None else last))
    return rows


def _decoded(place, value):
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{place}: the text is not UTF-8 ({error}). Give a dataset whose texts are."
        ) from None


def _make_examples(tfds, rows, feature, class_names):
    if feature is None:
        return make_examples(rows, is_labelled=False)
    if isinstance(feature, tfds.features.ClassLabel):
        if all(row.label == -1 for row in rows):
            return make_examples(rows, is_labelled=False)
        names = feature.names
        class_names = names if class_names is None else class_names
        rows = [row._replace(label=names[row.label] if row.label >= 0 else None) for row in rows]
    regression = feature.np_dtype is not None and np.issubdtype(feature.np_dtype, np.floating)
    return make_examples(
        rows, is_labelled=True, class_names=class_names, regression=bool(regression)
    )
