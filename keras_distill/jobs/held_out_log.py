"""Logs the quality on held-out examples while a student is trained."""

import keras
import numpy as np

_BATCH_SIZE = 256


class HeldOutLog(keras.callbacks.Callback):
    """Adds two figures to the log of every epoch, the same ones for each way of training.

    The losses of two students cannot be compared: one has a teacher, the other smoothed labels.
    `held_out_accuracy` and `held_out_cross_entropy` (in nats) can.

    Args:
        student: The `keras.Model` that is trained, whose outputs are logits `(examples, classes)`.
        x: Its inputs.
        labels: int `(examples,)`.
    """

    def __init__(self, student, x, labels):
        super().__init__()
        self._student, self._x, self._labels = student, x, labels

    def on_epoch_end(self, epoch, logs):
        logits = self._student.predict(self._x, batch_size=_BATCH_SIZE, verbose=0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        logs["held_out_accuracy"] = float(np.mean(logits.argmax(axis=1) == self._labels))
        logs["held_out_cross_entropy"] = float(loss(self._labels, logits))
