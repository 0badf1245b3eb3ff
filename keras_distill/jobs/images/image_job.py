"""Turns folders of images into a student: teacher, store, students, files, report."""

import dataclasses
import itertools
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import check_image_size
from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.printable import printable
from keras_distill._files.run_folder import RunFolder
from keras_distill.data import RandomViews
from keras_distill.export import ImageMetadata
from keras_distill.export.saved_model.export import check_saved_model
from keras_distill.export.saved_model.export import export_saved_model
from keras_distill.export.tflite.export import check_tflite
from keras_distill.export.tflite.modes import MODES
from keras_distill.export.tflite.modes import check_mode
from keras_distill.jobs.images import image_data
from keras_distill.jobs.images.image_teacher import FinetunedImageTeacher
from keras_distill.jobs.images.image_teacher import ReadyImageTeacher
from keras_distill.jobs.images.image_teacher import check_no_weights
from keras_distill.jobs.images.image_teacher import is_model_file
from keras_distill.jobs.images.picture_folders import files_by_class
from keras_distill.jobs.job import Job
from keras_distill.jobs.job import settings_of
from keras_distill.jobs.phone_file import export_phone_file
from keras_distill.jobs.results import exported
from keras_distill.jobs.splitting import check_classes
from keras_distill.jobs.splitting import split
from keras_distill.jobs.time_left import stage_seconds
from keras_distill.jobs.training import train_student
from keras_distill.students import mobile_cnn

# The label -1 means an image without a label.
_CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
# The student halves them three times.
_SMALLEST_SIZE = 8
_BATCH_SIZE = 64
_LARGEST_SHIFT = 1 / 8
_MAX_SHUFFLED = 10_000
# Images that calibrate and check the phone's file; a note tells if there are less than a third.
_NUM_CHECKED = 300


@dataclasses.dataclass(frozen=True)
class ImageJob(Job):
    """The whole distillation of an image classifier, like `TextJob` for texts.

    Teacher and students read images of the same size. The student is `students.mobile_cnn`.

    Args:
        train: A folder with a folder of images for each class, or an .npz file with x, uint8
            `(images, height, width, channels)` or, for gray images, `(images, height, width)`, and
            y, one class for each image: its index, its name, or a one-hot row; -1 means no label,
            so that only the teacher's output is used. Subfolders are also read, but not names
            that begin with a dot. Pictures are recognised by their contents; files that are
            left out are counted and listed with the reason.
        output: The folder for all results.
        teacher: A .keras or .h5 file of a classifier that reads pixels from 0 to 255, gray
            or RGB, with an output for each class; or the name of a network of
            `keras.applications`, which is fine-tuned.
        teacher_weights: Weights of that network: "imagenet", which are downloaded, or a file.
        test: Test images in the same form as train. None means a stratified part of train.
        test_rate: Share of train for the test set, in (0, 1).
        unlabelled: Folders of images, or .npz files with x, for which only the teacher's outputs
            are used.
        image_size: `(height, width)`, to which images are scaled as by
            `keras.utils.image_dataset_from_directory`. None means the teacher's size or, if it
            reads any size, that of the images, which must be equal.
        width: Channels of the student's stem.
        num_views: Number of mirrored and shifted views of each image, which teacher and student
            both see; 0 means the original images.
        quantization: A mode of `export_tflite`.
        num_steps: Training steps of each student, with 64 images each. None means 20 epochs over
            all images, at least 1,000 and at most 20,000 steps.
        teacher_epochs: Epochs of the teacher over the labelled images.
        alpha, temperature: As in `Distiller`.
        num_threads: Numbers of threads to time the models on; if empty, they are not timed.
        seed: Seed of all random numbers.
        class_names: If a ready teacher does not name its classes: their names, in the
            order of its outputs. None assumes the order of the data's classes.
        verbose: Whether to show Keras's epochs, the tables of all figures, and the times of all
            models. By default there is one line for each stage, and only the files that ship
            are timed.

    Example:

    ```python
    result = kd.jobs.ImageJob("photos", "out", teacher="EfficientNetV2B0").run()
    ```
    """

    train: str
    output: str
    teacher: str
    teacher_weights: str = "imagenet"
    test: str | None = None
    test_rate: float = 0.2
    unlabelled: tuple = ()
    image_size: tuple | None = None
    width: int = 32
    num_views: int = 0
    quantization: str = "int8"
    num_steps: int | None = None
    teacher_epochs: int = 5
    alpha: float = 0.1
    temperature: float = 4.0
    num_threads: tuple = (1,)
    seed: int = 0
    class_names: tuple | None = None
    verbose: bool = False

    _unit, _page = "an image", "docs/export.md"

    def _prepare(self):
        self._check()
        if is_model_file(self.teacher):
            check_no_weights(self.teacher, self.teacher_weights)
            teacher = ReadyImageTeacher(self.teacher)
        else:
            teacher = FinetunedImageTeacher(self.teacher, self.teacher_weights)
        teacher.check_size(self.image_size)
        train, test, more, broken = self._read(self.image_size or teacher.size, teacher.channels)
        data = [image_data.fingerprint(part) for part in (train, test, *more)]
        folder = RunFolder("output", pathlib.Path(self.output), "job", settings_of(self, data))
        num_classes, shape = len(train.class_names), train.pixels.shape[1:]
        if min(shape[:2]) < _SMALLEST_SIZE:
            raise ValueError(
                f"The student needs images of {_SMALLEST_SIZE} x {_SMALLEST_SIZE} pixels or more. "
                f"Received: {shape[0]} x {shape[1]}. Give a larger image_size, and a teacher that "
                "reads it."
            )
        keras.utils.set_random_seed(self.seed)
        teacher.prepare(num_classes, shape, self.teacher_epochs * len(train))
        student = mobile_cnn(shape, num_classes, width=self.width)
        unseen = [image_data.without(part, test) for part in more]
        parts = [(train.pixels, train.labels)]
        parts += [(part, np.full(len(part), -1, "int32")) for part in unseen]
        pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts))
        num_steps = self.num_steps
        if num_steps is None:
            num_steps = int(np.clip(20 * len(pixels) / _BATCH_SIZE, 1000, 20_000))
        return _ImageWork(
            folder=folder,
            train=train,
            test=test,
            transfer_set=image_data.Images(pixels, labels),
            teacher=teacher,
            student=student,
            num_steps=num_steps,
            num_threads=self.num_threads,
            num_views=max(1, self.num_views),
            num_duplicates=image_data.num_duplicates(train, test),
            broken=broken,
            warnings=self._doubts(len(pixels)),
        )

    def _doubts(self, num_images):
        """Notes if there are few images to calibrate the phone's file."""
        if not MODES[self.quantization].is_calibrated or num_images >= _NUM_CHECKED / 3:
            return ()
        return (
            f"Warning: the phone's file in {self.quantization!r} is calibrated and checked on "
            f"{num_images} images, which are few: give more, also without labels, or take "
            "'dynamic'.",
        )

    def _read(self, size, channels):
        """The images for training, for testing, those without labels, and left-out files."""
        room = image_data.MAX_BYTES
        train = image_data.read_labelled(self.train, size, None, channels, room)
        broken, room = train.broken, room - train.pixels.nbytes
        size, channels = train.pixels.shape[1:3], train.pixels.shape[3]
        train, *more = image_data.with_and_without_label(train)
        check_classes(train, "train the folder right above those of the classes, or has y a label")
        if self.test is None:
            train, test = split(train, self.test_rate, self.seed)
        else:
            test = image_data.read_labelled(self.test, size, train.class_names, channels, room)
            broken, room = broken + test.broken, room - test.pixels.nbytes
            if image_data.with_and_without_label(test)[1:]:
                raise ValueError(
                    f"test must have a label for each image. Received: {self.test}, with "
                    f"{np.sum(test.labels == -1)} labels of -1"
                )
        for path in self.unlabelled:
            part = image_data.read_unlabelled(path, size, channels, room)
            broken, room = broken + part.broken, room - part.pixels.nbytes
            more.append(part)
        return train, test, more, broken

    def _check(self):
        super()._check()
        if self.image_size is not None:
            self._set(image_size=check_image_size(self.image_size))
        check_mode(self.quantization)
        self._check_output()
        self._set(
            width=check_integer("width", self.width),
            num_views=check_integer("num_views", self.num_views, minimum=0),
        )

    def _check_output(self):
        """Raises `ValueError` if the job, once stopped, would read its own files as images."""
        around = pathlib.Path(os.path.realpath(self.output)).parents
        for path in (self.train, self.test, *self.unlabelled):
            if path is not None and pathlib.Path(os.path.realpath(path)) in around:
                raise ValueError(
                    "output must be a folder outside of those with images. Received: "
                    f"{printable(self.output)}, which is in {printable(path)}."
                )

    def _to_answer(self, work):
        return self._views().all(_dataset(work.transfer_set))

    def _train_alone(self, work, fit_settings):
        def images():
            return self._views().random(self._shuffled(work.train))

        return self._train(work, "alone", images, fit_settings=fit_settings)

    def _distil(self, work, store, soft_loss, fit_settings):
        def images():
            return store.attach(self._views().random(self._shuffled(work.transfer_set)))

        return self._train(
            work,
            "distilled",
            images,
            alpha=self.alpha,
            soft_loss=soft_loss,
            fit_settings=fit_settings,
        )

    def _to_try(self, work):
        folder = pathlib.Path(self.test or self.train)
        if not folder.is_dir():
            return []
        files, _ = files_by_class(folder)
        left_out = "\n".join(work.broken)
        paths = map(str, itertools.chain.from_iterable(files.values()))
        return [path for path in paths if path not in left_out]

    def _test_data(self, work):
        return {"test": self._labelled(work.test), "class_names": work.train.class_names}

    def _labelled(self, part):
        return part.pixels, part.labels

    def _shuffled(self, images):
        # The files of a class are adjacent: a shuffle buffer alone would not mix them.
        order = np.random.default_rng(self.seed).permutation(len(images))
        mixed = image_data.Images(images.pixels[order], images.labels[order])
        return _dataset(mixed).shuffle(min(len(images), _MAX_SHUFFLED), seed=self.seed)

    def _views(self):
        augment = _mirror_and_shift if self.num_views else _leave
        return RandomViews(augment, max(1, self.num_views), self.seed)

    def _train(self, work, name, make_examples, **settings):
        names, shape = work.train.class_names, work.train.pixels.shape[1:]
        watched = self._watched(work)
        return train_student(
            work.folder.path,
            name,
            lambda: mobile_cnn(shape, len(names), width=self.width, dropout=0.2),
            # Made after the seed is set: TensorFlow's orders also depend on the global seed.
            lambda: make_examples().repeat().batch(_BATCH_SIZE).prefetch(tf.data.AUTOTUNE),
            class_names=names,
            num_steps=work.num_steps,
            learning_rate=2e-3,
            hard_loss=_CROSS_ENTROPY,
            seed=self.seed,
            held_out=(watched.pixels, watched.labels),
            **settings,
        )

    def _export(self, work, student):
        # The file is always written anew, because the quantization may have changed.
        said = export_phone_file(student, **self._phone(work))
        if not work.folder.has("serving/1"):
            export_saved_model(student, **self._server(work))
        return said

    def _check_export(self, work):
        check_tflite(work.student, **self._phone(work))
        if not work.folder.has("serving/1"):
            check_saved_model(work.student, **self._server(work))

    def _phone(self, work):
        """Arguments of `export_tflite`."""
        # The sample covers all classes and the images without labels.
        pixels = work.transfer_set.pixels
        places = np.unique(np.linspace(0, len(pixels) - 1, _NUM_CHECKED).astype(int))
        return {
            "path": exported(work.folder.path)["phone"],
            "quantization": self.quantization,
            "representative_data": pixels[places].astype("float32"),
            "metadata": ImageMetadata(work.train.class_names),
        }

    def _server(self, work):
        """Arguments of `export_saved_model`."""
        return {
            "directory": exported(work.folder.path)["server"],
            "version": 1,
            "class_names": work.train.class_names,
            "representative_data": work.test.pixels[:10].astype("float32"),
        }


@dataclasses.dataclass(frozen=True)
class _ImageWork:
    """A job's data and settings after its files are read; as a str, the plan of the job."""

    folder: RunFolder
    train: image_data.Images
    test: image_data.Images
    transfer_set: image_data.Images
    teacher: object
    student: keras.Model
    num_steps: int
    num_views: int
    num_duplicates: int
    broken: tuple
    num_threads: tuple
    warnings: tuple = ()

    def batch(self):
        """A batch of images for the teacher."""
        shape = _BATCH_SIZE, *self.train.pixels.shape[1:]
        return tf.constant(np.resize(self.train.pixels, shape).astype("float32"))

    def seconds(self):
        """Estimated seconds of each stage."""
        images = self.batch()
        return stage_seconds(
            (self.teacher.model, images),
            (self.student, images),
            teacher_batches=self.teacher.num_images / _BATCH_SIZE,
            answers=self.num_views * len(self.transfer_set) / _BATCH_SIZE,
            steps=self.num_steps,
            test_batches=len(self.test) / _BATCH_SIZE,
            timings=self.num_threads,
        )

    def __str__(self):
        height, width, channels = self.train.pixels.shape[1:]
        lines = [
            f"{len(self.train):,} images of {height} x {width} x {channels} to train on, "
            f"{len(self.train.class_names)} classes; {len(self.transfer_set):,} for the teacher to "
            f"answer, {self.num_views} view{'s' if self.num_views > 1 else ''} of each; "
            f"{len(self.test):,} to test on",
            f"teacher: {self.teacher.model.count_params():,} parameters; student: "
            f"{self.student.count_params():,}, {self.num_steps:,} steps",
        ]
        if self.num_duplicates:
            lines.append(
                f"Warning: {self.num_duplicates:,} of the test images are training images, too: "
                "the accuracy will look better than it is."
            )
        if self.broken:
            lines.append(f"Warning: left out, with the reason of each: {len(self.broken):,}")
            lines += [f"  {line}" for line in self.broken]
        return "\n".join([*lines, *self.warnings])


def _dataset(images):
    return tf.data.Dataset.from_tensor_slices((images.pixels, images.labels))


def _leave(image, seed):
    return image


def _mirror_and_shift(image, seed):
    """A view of an image: mirrored or not, shifted by an eighth at most."""
    height, width, channels = image.shape
    image = tf.image.stateless_random_flip_left_right(image, seed)
    margins = [round(size * _LARGEST_SHIFT) for size in (height, width)]
    padded = tf.pad(image, [(margin, margin) for margin in margins] + [(0, 0)], "SYMMETRIC")
    return tf.image.stateless_random_crop(padded, (height, width, channels), seed + 1)
