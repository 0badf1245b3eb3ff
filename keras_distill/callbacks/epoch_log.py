"""A file with the values of every epoch of a training, complete even after a kill."""

import csv
import json

import keras
import numpy as np

from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill._files.destination import replaced_file
from keras_distill._files.json_files import read_json_object

_NOT_THERE = "NA"


class EpochLog(keras.callbacks.Callback):
    """Writes the values of every epoch; an epoch that is trained again after a kill appears once.

    Args:
        path: The file: a .json file takes metrics with a value for each class; a .csv file
            can be opened in a spreadsheet, and takes numbers only.
        num_epochs: Number of epochs in the file that count; later ones are dropped. None: all
            epochs in the file, at least one.
        remedy: A sentence that says what to do about a damaged file.

    Raises:
        ValueError: If the file is damaged, or lacks an epoch.
    """

    def __init__(self, path, num_epochs, remedy):
        super().__init__()
        self.path = path
        epochs = [] if num_epochs == 0 else self._read(remedy)
        fewest = 1 if num_epochs is None else num_epochs
        if len(epochs) < fewest:
            raise ValueError(
                f"{printable(path)} must be the log of a training, with the values of every epoch, "
                f"of {fewest} at least. Received: {len(epochs)} epochs. {remedy}"
            )
        self._epochs = epochs[:num_epochs]

    def on_epoch_end(self, epoch, logs=None):
        self._epochs = self._epochs[:epoch]
        self._epochs.append(
            {
                # A metric may have a value for each class.
                name: np.asarray(value).tolist()
                for name, value in (logs or {}).items()
            }
        )
        with replaced_file(self.path) as written:
            if self._is_table():
                _write_table(written, self._epochs)
            else:
                written.write_text(json.dumps(dict(enumerate(self._epochs))))

    @property
    def num_epochs(self):
        return len(self._epochs)

    def history(self):
        """The history, as `fit` returns it."""
        history = {}
        for logs in self._epochs:
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
        return history

    def _is_table(self):
        return self.path.suffix == ".csv"

    def _read(self, remedy):
        """Lists the values of the epochs in the file, as dicts."""
        if not self.path.exists():
            return []
        try:
            epochs = _read_table(self.path) if self._is_table() else read_json_object(self.path)
        except ValueError as error:
            raise ValueError(f"{error} {remedy}") from None
        numbers = list(map(str, range(len(epochs))))
        if sorted(epochs) != sorted(numbers) or not all(map(_are_values, epochs.values())):
            raise ValueError(
                f"{printable(self.path)} must be the log of a training, with the numbers of each "
                f"epoch, by its number from 0. Received: something else. {remedy}"
            )
        return [epochs[number] for number in numbers]


def _are_values(logs):
    return isinstance(logs, dict) and all(
        isinstance(number, (int, float)) for number in keras.tree.flatten(list(logs.values()))
    )


def _read_table(path):
    """Dict from the number of an epoch, as a str, to its dict of values."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            # The log of an earlier version may have an epoch twice.
            rows = {row.pop("epoch"): row for row in csv.DictReader(file)}
        # Keras's CSVLogger wrote empty columns for a validation that did not take place.
        return {
            epoch: {name: float(value) for name, value in row.items() if value != _NOT_THERE}
            for epoch, row in rows.items()
        }
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise ValueError(
            f"{printable(path)} must be the log of a training. Received: "
            f"{type(error).__name__}: {one_line(error)}."
        ) from None


def _write_table(path, epochs):
    rows = [{"epoch": number, **dict(sorted(logs.items()))} for number, logs in enumerate(epochs)]
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[-1], restval=_NOT_THERE, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
