"""The teacher of a job with images: a ready model, or a network of keras.applications."""

import inspect
import os
import pathlib

import keras
import tensorflow as tf

from keras_distill._arguments.printable import one_line
from keras_distill._files.found_at import found_at
from keras_distill.jobs.one_output import with_two_outputs
from keras_distill.jobs.teacher_file import load_teacher
from keras_distill.optimizers import WarmupLinearDecay

_BATCH_SIZE = 32
_CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


_MODEL_FILES = (".keras", ".h5", ".hdf5")
_FILE = "a .keras or .h5 file of a classifier of images"


def is_model_file(teacher):
    """Whether this is the path of a file, instead of the name of a network."""
    return pathlib.Path(teacher).suffix in _MODEL_FILES


class ReadyImageTeacher:
    """A file of a classifier that reads pixels from 0 to 255, loaded in Keras's safe mode.

    Args:
        path: A .keras file, or an .h5 file of Keras 2 or 3.

    Attributes:
        size: `(height, width)` that it reads; None means any.
        channels: Number of channels that it reads; None means any.

    Raises:
        ValueError: If it is not such a file, or the model reads something else.
    """

    is_ready, num_images = True, 0

    def __init__(self, path):
        self.model = load_teacher(path, _FILE)
        shape, outputs = (getattr(self.model, f"{n}_shape", None) for n in ("input", "output"))
        if not (_has_axes(shape, 4) and _has_axes(outputs, 2)) or outputs[1] is None:
            raise ValueError(
                "teacher must be a classifier of images (batch, height, width, channels), with one "
                f"input and one output (batch, classes). Received: {path}, from {shape} to "
                f"{outputs}"
            )
        if shape[3] not in (None, 1, 3):
            raise ValueError(
                "teacher must read gray images or RGB, 1 or 3 channels on the last axis, as phones "
                f"do. Received: {path}, for images of shape {shape[1:]}"
            )
        self._path = path
        self.size = None if None in shape[1:3] else shape[1:3]
        self.channels = shape[3]

    def check_size(self, size):
        """Raises `ValueError` unless the teacher reads images of that size; None always fits."""
        height, width = self.model.input_shape[1:3]
        if size is not None and not (height in (None, size[0]) and width in (None, size[1])):
            raise ValueError(
                f"image_size must be that of the teacher, {height} x {width}. Received: "
                f"image_size={tuple(size)}"
            )

    def prepare(self, num_classes, shape, num_images):
        """Raises `ValueError` unless the teacher fits the images."""
        if (self.model.output_shape[1], num_classes) == (1, 2):
            self.model = with_two_outputs(self.model, self._path)
        found = self.model.output_shape[1], self.model.input_shape[1:]
        fits = all(size in (None, given) for size, given in zip(found[1], shape))
        if found[0] != num_classes or not fits:
            raise ValueError(
                f"teacher must tell {num_classes} classes of images of shape {tuple(shape)} apart. "
                f"Received: one of {found[0]} classes, for images of shape {found[1]}"
            )


def check_no_weights(teacher, weights):
    """Raises `ValueError` for weights given with a file, which already has weights."""
    if weights != "imagenet":
        raise ValueError(
            "teacher_weights are those of a network of keras.applications, and a file has its own. "
            f"Received: teacher_weights={weights!r} beside teacher={os.fspath(teacher)!r}. Leave "
            "one of the two out."
        )


class FinetunedImageTeacher:
    """A network of `keras.applications` that scales its pixels itself, with a new head.

    Args:
        name: Name in `keras.applications`, such as "EfficientNetV2B0" or "MobileNetV3Large".
        weights: "imagenet", which are downloaded, or a file.
    """

    is_ready, size, channels = False, (224, 224), 3

    def __init__(self, name, weights):
        make = getattr(keras.applications, os.fspath(name), None)
        # keras.applications also has modules, which are not networks.
        is_network = inspect.isfunction(make)
        if not is_network or "include_preprocessing" not in inspect.signature(make).parameters:
            found = found_at(name) if os.path.exists(name) else "is neither"
            raise ValueError(
                "teacher must be a .keras or .h5 file, or a network of keras.applications that "
                "scales its pixels itself: EfficientNetV2B0, MobileNetV3Large, ConvNeXtTiny, ... "
                f"Received: {name!r}, which {found}."
            )
        if weights not in ("imagenet", None) and not pathlib.Path(weights).is_file():
            raise ValueError(
                "teacher_weights must be 'imagenet', or a file that is there. Received: "
                f"teacher_weights={weights!r}, which {found_at(weights)}."
            )
        self._make, self._weights = make, weights

    def check_size(self, size):
        """Accepts any size; `prepare` finds out whether it is large enough."""

    def prepare(self, num_classes, shape, num_images):
        """Builds the model; raises `ValueError` unless the images have three channels.

        Args:
            num_classes: Number of logits.
            shape: Shape of an image.
            num_images: Number of images for training, counted in every epoch.
        """
        if shape[2] != 3:
            raise ValueError(
                f"teacher must read images with {shape[2]} channels. Received: a network of "
                "keras.applications, for 3 channels. Give a .keras file."
            )
        self.num_images = num_images
        try:
            base = self._make(
                include_top=False,
                weights=self._weights,
                input_shape=shape,
                pooling="avg",
                include_preprocessing=True,
            )
        except ValueError as error:
            raise ValueError(
                f"teacher must be a network for images of shape {shape}, and teacher_weights must "
                f"be its weights. Received: {self._make.__name__} and {self._weights!r}: "
                f"{one_line(error)}"
            ) from error
        self.model = keras.Sequential(
            [base, keras.layers.Dropout(0.2), keras.layers.Dense(num_classes, name="logits")],
            name="teacher",
        )

    def train(self, train, seed, fit_settings):
        """Fine-tunes the network, also on mirrored images, as `FinetunedTextTeacher.train`."""
        num_epochs = self.num_images // len(train)
        images = tf.data.Dataset.from_tensor_slices((train.pixels, train.labels))
        batches = images.shuffle(len(train), seed=seed).batch(_BATCH_SIZE)
        flip = keras.layers.RandomFlip("horizontal", seed=seed)
        batches = batches.map(lambda x, y: (flip(x, training=True), y)).prefetch(tf.data.AUTOTUNE)
        schedule = WarmupLinearDecay(1e-4, num_epochs * len(batches))
        self.model.compile(keras.optimizers.AdamW(schedule), _CROSS_ENTROPY)
        self.model.fit(
            batches,
            epochs=num_epochs,
            shuffle=False,
            **fit_settings(num_epochs * len(batches), 0),
        )


def _has_axes(shape, count):
    return isinstance(shape, tuple) and len(shape) == count
