"""The teacher of a job with texts: one that is ready, a BERT to fine-tune, or an ensemble."""

import pathlib

import keras
import numpy as np

from keras_distill.jobs.lengths import lengths_up_to
from keras_distill.students import bilstm
from keras_distill.students import text_cnn
from keras_distill.teachers import Ensemble
from keras_distill.teachers import WarmupLinearDecay
from keras_distill.teachers import bert_classifier
from keras_distill.teachers import finetuning_optimizer
from keras_distill.text import batch_by_length

ENSEMBLE = "ensemble"
_CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class ReadyTeacher:
    """A .keras file of a classifier that reads texts. It is loaded in Keras's safe mode.

    Raises:
        ValueError: If it reads something else, or has other classes.
    """

    is_ready, num_texts = True, 0

    def __init__(self, path, num_classes):
        self.model = keras.models.load_model(path, compile=False)
        inputs = keras.tree.flatten(getattr(self.model, "inputs", None) or [])
        dtypes = [tensor.dtype for tensor in inputs]
        shape = getattr(self.model, "output_shape", None)
        if dtypes != ["string"] or shape != (None, num_classes):
            received = ", ".join(dtypes) or "unknown inputs"
            raise ValueError(
                f"teacher must be a classifier from texts to {num_classes} classes. Received: "
                f"{path}, from {received} to outputs of shape {shape}. Put its preprocessor in "
                "front of it, as kd.teachers.bert_classifier does."
            )


class FinetunedTeacher:
    """A BERT of TF-Hub or KerasHub with a new head.

    Args:
        encoder, preprocessor: As for `bert_classifier`.
        train: The labelled `text.Examples`.
        num_epochs: Rounds over them.
        max_length: Tokens of a text.
    """

    is_ready = False

    def __init__(self, encoder, preprocessor, train, num_epochs, max_length):
        self.model = bert_classifier(
            encoder, preprocessor, len(train.class_names), sequence_length=max_length
        )
        self._num_epochs, self._max_length = num_epochs, max_length
        self.num_texts = num_epochs * len(train)

    def train(self, train, seed):
        """Fine-tunes it."""
        classifier = self.model.get_layer("classifier")
        batches = batch_by_length(
            train,
            self.model.get_layer("preprocessor"),
            bucket_lengths=lengths_up_to(self._max_length),
            batch_size=32,
            seed=seed,
        )
        # A head that starts from nothing needs steps; the layers below change less and less.
        rate = 5e-5 if len(train) > 5000 else 2e-4
        optimizer = finetuning_optimizer(
            classifier, rate, num_steps=self._num_epochs * len(batches), layer_decay=0.9
        )
        classifier.compile(optimizer, _CROSS_ENTROPY)
        classifier.fit(batches, epochs=self._num_epochs, shuffle=False)


class EnsembleTeacher:
    """Four networks from scratch, averaged: a teacher where no BERT can be had.

    Args:
        vocabulary: What the networks read.
        train: The labelled `text.Examples`.
        num_steps: Steps of each network.
    """

    is_ready = False

    def __init__(self, vocabulary, train, num_steps):
        self._vocabulary, self._steps = vocabulary, num_steps
        # All four run at once when it answers.
        self.num_texts = 64 * num_steps
        num_classes = len(train.class_names)
        settings = {"embedding_dim": 128, "embedding_dropout": 0.3, "dropout": 0.5}
        self._members = [
            text_cnn(vocabulary, num_classes, filters=256, kernel_sizes=(1, 2), **settings),
            text_cnn(vocabulary, num_classes, filters=256, kernel_sizes=(1, 2, 3), **settings),
            bilstm(vocabulary, num_classes, units=64, **settings),
            bilstm(vocabulary, num_classes, units=64, **settings),
        ]
        texts = keras.Input((), dtype="string", name="text")
        ensemble = Ensemble(self._members)
        self.model = keras.Model(texts, ensemble(vocabulary(texts)), name=ENSEMBLE)

    def train(self, train, seed):
        """Trains one network after the other."""
        for number, member in enumerate(self._members):
            print(f"network {number + 1} of {len(self._members)}")
            batches = batch_by_length(
                train,
                self._vocabulary,
                bucket_lengths=lengths_up_to(self._vocabulary.max_length),
                batch_size=64,
                seed=seed + number,
            )
            schedule = WarmupLinearDecay(4e-3, self._steps)
            member.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0), _CROSS_ENTROPY)
            member.fit(batches.repeat(), steps_per_epoch=self._steps, shuffle=False)


def make_teacher(name, preprocessor, vocabulary, train, num_epochs, max_length):
    """Makes a teacher by its name: "ensemble", a .keras file, a preset, handle or folder."""
    if name == ENSEMBLE:
        num_steps = int(np.clip(num_epochs * len(train) / 64 * 5, 400, 4000))
        return EnsembleTeacher(vocabulary, train, num_steps)
    if pathlib.Path(name).suffix == ".keras":
        if not pathlib.Path(name).is_file():
            raise ValueError(f"teacher must be a file that is there. Received: {name}")
        return ReadyTeacher(name, len(train.class_names))
    return FinetunedTeacher(name, preprocessor, train, num_epochs, max_length)
