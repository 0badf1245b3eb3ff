"""The teacher of a job with texts: a ready model, a text encoder to fine-tune, or an ensemble."""

import os

import keras
import numpy as np
import tensorflow as tf

from keras_distill._keras.fused_adam import FusedAdam
from keras_distill.jobs.one_output import with_two_outputs
from keras_distill.jobs.teacher_file import check_teacher_file
from keras_distill.jobs.teacher_file import load_teacher
from keras_distill.jobs.texts import signature_teacher
from keras_distill.jobs.texts.text_data import lengths_up_to
from keras_distill.optimizers import finetuning_optimizer
from keras_distill.students import text_cnn
from keras_distill.teachers import text_classifier
from keras_distill.teachers.preset_names import check_preset_name
from keras_distill.text import WordVocabulary
from keras_distill.text import batch_by_length

ENSEMBLE = "ensemble"
_CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
_BATCH_SIZE = 64
_LINEAR_RATE, _NETWORK_RATE = 0.05, 4e-3
_FILE = "a .keras file of a classifier that reads texts"


def check_teacher(name, preprocessor, signature=None):
    """Raises `ValueError` for a name that cannot be a teacher, before anything is read.

    Args:
        name: The job's `teacher`.
        preprocessor: The job's `preprocessor`.
        signature: The job's `teacher_signature`.
    """
    name = os.fspath(name)
    if signature is not None:
        signature_teacher.check(name, preprocessor, signature)
        return
    if name == ENSEMBLE or _is_model_file(name):
        if preprocessor is not None:
            raise ValueError(
                "preprocessor must be left out for a teacher that reads texts itself. Received: "
                f"preprocessor={preprocessor!r}, teacher={name!r}"
            )
        if name != ENSEMBLE:
            check_teacher_file(name, _FILE)
        return
    kind = "TextClassifierPreprocessor" if preprocessor is None else "Backbone"
    check_preset_name("teacher", name, _FILE, repr(ENSEMBLE), kind=kind)
    if preprocessor is not None:
        check_preset_name("preprocessor", os.fspath(preprocessor))


def _is_model_file(name):
    return os.path.splitext(name)[1] == ".keras"


class ReadyTextTeacher:
    """A classifier that reads texts: a .keras file, or a signature of a SavedModel.

    A .keras file is loaded in Keras's safe mode. A single output for two classes, a logit or a
    sigmoid, belongs to the second class.

    Raises:
        ValueError: If the model reads something else, or has other classes.
    """

    is_ready, num_texts = True, 0

    def __init__(self, path, num_classes, signature=None):
        if signature is not None:
            self.model = signature_teacher.load(path, signature, num_classes)
            return
        self.model = load_teacher(path, _FILE)
        inputs = keras.tree.flatten(getattr(self.model, "inputs", None) or [])
        dtypes = [tensor.dtype for tensor in inputs]
        shape = getattr(self.model, "output_shape", None)
        if dtypes == ["string"] and shape == (None, 1) and num_classes == 2:
            self.model = with_two_outputs(self.model, path)
        elif dtypes != ["string"] or shape != (None, num_classes):
            received = ", ".join(dtypes) or "unknown inputs"
            raise ValueError(
                f"teacher must be a classifier from texts to {num_classes} classes. Received: "
                f"{path}, from {received} to outputs of shape {shape}. Put its preprocessor in "
                "front of it, as kd.teachers.text_classifier does."
            )


class FinetunedTextTeacher:
    """A text encoder of TF-Hub or KerasHub with a new head.

    Args:
        encoder, preprocessor: As for `text_classifier`.
        train: The labelled `text.Examples`.
        num_epochs: Epochs over these texts.
        sequence_length: Tokens of a text.
    """

    is_ready = False

    def __init__(self, encoder, preprocessor, train, num_epochs, sequence_length):
        self.model = text_classifier(
            encoder, preprocessor, len(train.class_names), sequence_length=sequence_length
        )
        self._num_epochs, self._sequence_length = num_epochs, sequence_length
        self.num_texts = num_epochs * len(train)

    def train(self, train, seed, fit_settings):
        """Fine-tunes the teacher; fit_settings is that of `train_student`."""
        classifier = self.model.classifier
        batches = batch_by_length(
            train,
            self.model.preprocessor,
            bucket_lengths=lengths_up_to(self._sequence_length),
            batch_size=32,
            seed=seed,
        )
        # A new head needs many steps; lower layers have smaller learning rates.
        rate = 5e-5 if len(train) > 5000 else 2e-4
        optimizer = finetuning_optimizer(
            classifier, rate, num_steps=self._num_epochs * len(batches), layer_decay=0.9
        )
        classifier.compile(optimizer, _CROSS_ENTROPY)
        classifier.fit(
            batches,
            epochs=self._num_epochs,
            shuffle=False,
            **fit_settings(self._num_epochs * len(batches), 0),
        )


class EnsembleTeacher:
    """The average of three small models trained from scratch, if no BERT is available.

    Two are linear, on words and on pieces of words; one is convolutional. If words are
    not separated by spaces, single characters and pairs of them replace words.

    Args:
        vocabulary: The vocabulary of the convolutional network.
        train: The labelled `text.Examples`.
        num_steps: Steps of each model.
    """

    is_ready = False

    def __init__(self, vocabulary, train, num_steps):
        self._steps = num_steps
        # The model runs all members at once.
        self.num_texts = _BATCH_SIZE * num_steps
        num_classes = len(train.class_names)
        are_words = isinstance(vocabulary, WordVocabulary)
        units = {} if are_words else {"split": "character", "ngrams": (1, 2)}
        texts = keras.Input((), dtype="string", name="text")
        network = text_cnn(
            vocabulary,
            num_classes,
            embedding_dim=512,
            filters=256,
            kernel_sizes=(1, 2),
            embedding_dropout=0.4,
            dropout=0.6,
        )
        logits = {
            "words": _linear(texts, train, num_classes, max_tokens=10_000, **units),
            "pieces": _linear(
                texts, train, num_classes, max_tokens=40_000, split="character", ngrams=(2, 3, 4, 5)
            ),
            "network": network(vocabulary(texts)),
        }
        logits = {name: output for name, output in logits.items() if output is not None}
        self._members = {name: keras.Model(texts, output) for name, output in logits.items()}
        # The mean of logits is the geometric mean of probabilities; `Ensemble` has the arithmetic.
        average = logits["network"]
        if len(logits) > 1:
            average = keras.layers.Average(name="logits")(list(logits.values()))
        self.model = keras.Model(texts, average, name=ENSEMBLE)

    def train(self, train, seed, fit_settings):
        """Trains one model after the other; fit_settings is that of `train_student`."""
        for place, (name, member) in enumerate(self._members.items()):
            batches = tf.data.Dataset.from_tensor_slices((train.texts.tolist(), train.labels))
            batches = batches.shuffle(len(train), seed=seed).repeat().batch(_BATCH_SIZE)
            rate = _NETWORK_RATE if name == "network" else _LINEAR_RATE
            schedule = keras.optimizers.schedules.CosineDecay(rate, self._steps)
            member.compile(FusedAdam(schedule), _CROSS_ENTROPY)
            member.fit(
                batches,
                steps_per_epoch=self._steps,
                shuffle=False,
                **fit_settings(len(self._members) * self._steps, place * self._steps),
            )


def _linear(texts, train, num_classes, **settings):
    """A linear model on the TF-IDF weights of words, or of pieces of words.

    The result is None if there are none, for instance if all texts are single letters or signs.
    """
    # Only labelled texts are used: pieces that occur in none of them would get no weight, and
    # would scale down those that have one.
    vectorize = keras.layers.TextVectorization(
        output_mode="tf_idf", standardize=lower_on_one_line, **settings
    )
    try:
        vectorize.adapt(tf.data.Dataset.from_tensor_slices(train.texts.tolist()).batch(512))
    except AttributeError:
        # Keras has no weights for an empty vocabulary.
        if vectorize.vocabulary_size() > 1:
            raise
        return None
    dense = keras.layers.Dense(num_classes, kernel_initializer="zeros")
    return keras.Sequential([vectorize, keras.layers.UnitNormalization(), dense])(texts)


@keras.saving.register_keras_serializable(package="keras_distill")
def lower_on_one_line(texts):
    """Lowers letters, removes punctuation, and replaces separators and control characters.

    Keras saves a layer's vocabulary line by line. A piece with a line end, or another character
    that `str.splitlines` treats as one, would become two pieces after loading, and a piece that is
    NUL would be lost.
    """
    # Replacing comes first, because lowering cuts a text at a NUL.
    texts = tf.strings.regex_replace(texts, r"[\p{Z}\p{Cc}]", " ")
    texts = tf.strings.lower(texts, encoding="utf-8")
    return tf.strings.regex_replace(texts, r"[!-/:-@\[-`{-~]", "")


def make_teacher(name, preprocessor, signature, vocabulary, train, num_epochs, sequence_length):
    """Makes a teacher from its name: "ensemble", a .keras file, a preset, handle or folder."""
    if signature is not None:
        return ReadyTextTeacher(name, len(train.class_names), signature)
    if name == ENSEMBLE:
        num_steps = int(np.clip(num_epochs * len(train) / _BATCH_SIZE * 5, 400, 4000))
        return EnsembleTeacher(vocabulary, train, num_steps)
    if _is_model_file(name):
        return ReadyTextTeacher(name, len(train.class_names))
    return FinetunedTextTeacher(name, preprocessor, train, num_epochs, sequence_length)
