"""The teacher of a job with images: one that is ready, or a network of keras.applications."""

import inspect
import pathlib

import keras
import tensorflow as tf

from keras_distill.jobs import interruption
from keras_distill.model_files import load_model_file
from keras_distill.teachers import WarmupLinearDecay

_BATCH_SIZE = 32
_CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class ReadyTeacher:
    """A .keras file of a classifier that reads pixels from 0 to 255, in Keras's safe mode.

    Raises:
        ValueError: If it reads something else, or has other classes.
    """

    is_ready, num_images = True, 0

    def __init__(self, path):
        if not pathlib.Path(path).is_file():
            raise ValueError(f"teacher must be a file that is there. Received: {path}")
        self.model = load_model_file(path)
        shape, outputs = (getattr(self.model, f"{n}_shape", None) for n in ("input", "output"))
        if not isinstance(shape, tuple) or len(shape) != 4 or len(outputs) != 2:
            raise ValueError(
                "teacher must be a classifier of images (batch, height, width, channels). "
                f"Received: {path}, from {shape} to {outputs}"
            )
        self.size = None if None in shape[1:3] else shape[1:3]

    def prepare(self, num_classes, shape, num_images):
        """Raises `ValueError` unless it fits the images."""
        found = self.model.output_shape[1], self.model.input_shape[1:]
        fits = all(size in (None, given) for size, given in zip(found[1], shape))
        if found[0] != num_classes or not fits:
            raise ValueError(
                f"teacher must tell {num_classes} classes of images of shape {tuple(shape)} apart. "
                f"Received: one of {found[0]} classes, for images of shape {found[1]}"
            )


class FinetunedTeacher:
    """A network of `keras.applications` that scales its pixels itself, with a new head.

    Args:
        name: Its name there, such as "EfficientNetV2B0" or "MobileNetV3Large".
        weights: "imagenet", which downloads them, or a file.
    """

    is_ready, size = False, (224, 224)

    def __init__(self, name, weights):
        make = getattr(keras.applications, name, None)
        if make is None or "include_preprocessing" not in inspect.signature(make).parameters:
            raise ValueError(
                "teacher must be a .keras file, or a network of keras.applications that scales its "
                "pixels itself: EfficientNetV2B0, MobileNetV3Large, ConvNeXtTiny, ... Received: "
                f"{name!r}"
            )
        self._make, self._weights = make, weights

    def prepare(self, num_classes, shape, num_images):
        """Builds the model; raises `ValueError` unless the images have three channels.

        Args:
            num_classes: Number of logits.
            shape: Shape of an image.
            num_images: Number of images that it will be trained on, rounds included.
        """
        if shape[2] != 3:
            raise ValueError(
                f"teacher must read images with {shape[2]} channels. Received: a network of "
                "keras.applications, for 3 channels. Give a .keras file."
            )
        self.num_images = num_images
        base = self._make(
            include_top=False,
            weights=self._weights,
            input_shape=shape,
            pooling="avg",
            include_preprocessing=True,
        )
        self.model = keras.Sequential(
            [base, keras.layers.Dropout(0.2), keras.layers.Dense(num_classes, name="logits")],
            name="teacher",
        )

    def train(self, train, seed):
        """Fine-tunes it, mirrored images included."""
        num_epochs = self.num_images // len(train)
        images = tf.data.Dataset.from_tensor_slices((train.pixels, train.labels))
        batches = images.shuffle(len(train), seed=seed).batch(_BATCH_SIZE)
        flip = keras.layers.RandomFlip("horizontal", seed=seed)
        batches = batches.map(lambda x, y: (flip(x, training=True), y)).prefetch(tf.data.AUTOTUNE)
        schedule = WarmupLinearDecay(1e-4, num_epochs * len(batches))
        self.model.compile(keras.optimizers.AdamW(schedule), _CROSS_ENTROPY)
        self.model.fit(
            batches, epochs=num_epochs, callbacks=[interruption.callback()], shuffle=False
        )
