"""Turns a table of texts into a student: teacher, store, students, files, report."""

import dataclasses
import pathlib

import keras
import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import check_choice
from keras_distill._arguments.checks import check_integer
from keras_distill._files.run_folder import RunFolder
from keras_distill.export import TextMetadata
from keras_distill.export.saved_model.export import check_saved_model
from keras_distill.export.saved_model.export import export_saved_model
from keras_distill.export.tflite.export import check_tflite
from keras_distill.jobs.job import Job
from keras_distill.jobs.job import settings_of
from keras_distill.jobs.phone_file import export_phone_file
from keras_distill.jobs.results import exported
from keras_distill.jobs.splitting import check_classes
from keras_distill.jobs.splitting import split
from keras_distill.jobs.texts import text_data
from keras_distill.jobs.texts import text_vocabulary
from keras_distill.jobs.texts.lengths import check_memory
from keras_distill.jobs.texts.lengths import limited_to
from keras_distill.jobs.texts.lengths import teacher_length
from keras_distill.jobs.texts.linear_baseline import linear_baseline
from keras_distill.jobs.texts.new_texts import make_new_texts
from keras_distill.jobs.texts.text_data import lengths_up_to
from keras_distill.jobs.texts.text_student import KINDS
from keras_distill.jobs.texts.text_student import for_export
from keras_distill.jobs.texts.text_student import make_student
from keras_distill.jobs.texts.text_teacher import check_teacher
from keras_distill.jobs.texts.text_teacher import make_teacher
from keras_distill.jobs.time_left import stage_seconds
from keras_distill.jobs.training import train_student
from keras_distill.text import Examples
from keras_distill.text import batch_by_length
from keras_distill.text.vocabularies.base import Vocabulary

# The label -1 means a text without a label.
_CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
# Label smoothing helps a student that learns from hard labels only.
_SMOOTHED = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
_BATCH_SIZE = 64
_PIECES_PER_WORD = 2


@dataclasses.dataclass(frozen=True)
class TextJob(Job):
    """The whole distillation of a text classifier.

    The job trains or loads a teacher, stores its outputs for the labelled and unlabelled texts,
    trains one student alone and one with the teacher, exports the distilled one as a
    TFLite file and a SavedModel, and compares all models on the test set. The training settings
    are defaults, not tuned for the data; both students get the same number of steps.

    Args:
        train: A .csv, .tsv or .jsonl file with texts and labels, also .gz.
        output: The folder for all results. If the job is interrupted, run the same job again:
            it resumes there.
        teacher: A KerasHub preset or folder, a Hugging Face folder, a TF-Hub handle or folder,
            each of which is fine-tuned; a .keras file of a classifier that reads texts; or
            "ensemble", three small models from scratch.
        preprocessor: A TF-Hub teacher's preprocessor, a handle or folder.
        teacher_signature: If the teacher is the folder of a SavedModel, a fine-tuned classifier
            that reads texts: the name of its signature, mostly "serving_default". It is not
            trained again. Its output with as many columns as there are classes is used, "logits"
            before "probabilities" if it has several.
        student: "bilstm", "text_cnn" or "transformer".
        test: Test file in the same form as train. None means a stratified part of train.
        test_rate: Share of train for the test set, in (0, 1).
        unlabelled: Files with more texts, for which only the teacher's outputs are used: the
            text column of a table, or each line of other files; "-" is standard input.
        text, label: Names of the columns.
        num_augmented: Rounds of `text.augment`; the teacher's outputs for its texts are used, too.
            If spaces do not separate words, characters are replaced, and none is masked.
        quantization: A mode of `export_tflite`.
        sequence_length: Words of a text for the student, or twice as many word pieces; tokens for
            the teacher. More than 1,024, and more than the longest text has, is limited to that.
        vocabulary_size: Number of words that the student knows. They are word pieces if spaces
            do not separate words, as in Chinese, Japanese and Thai: otherwise, less than half of
            the words of held-out texts would be known.
        num_steps: Training steps of each student, with 64 texts each. None means 10 epochs over
            all texts, at least 1,000 and at most 10,000 steps.
        teacher_epochs: Epochs of the teacher over the labelled texts.
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
    result = kd.jobs.TextJob("reviews.csv", "out", teacher="bert_base_en_uncased").run()
    ```
    """

    train: str
    output: str
    teacher: str
    preprocessor: str | None = None
    teacher_signature: str | None = None
    student: str = "text_cnn"
    test: str | None = None
    test_rate: float = 0.2
    unlabelled: tuple = ()
    text: str = "text"
    label: str = "label"
    num_augmented: int = 0
    quantization: str = "dynamic"
    sequence_length: int = 64
    vocabulary_size: int = 10_000
    num_steps: int | None = None
    teacher_epochs: int = 5
    alpha: float = 0.1
    temperature: float = 2.0
    num_threads: tuple = (1,)
    seed: int = 0
    class_names: tuple | None = None
    verbose: bool = False

    _unit, _page = "a text", "docs/bert_to_phone.md"

    def _prepare(self):
        self._check()
        train = text_data.read_labelled(self.train, self.text, self.label)
        check_classes(train, "the label column the right one")
        if self.test is None:
            train, test = split(train, self.test_rate, self.seed)
        else:
            test = text_data.read_labelled(self.test, self.text, self.label, train.class_names)
        more = [text_data.read_unlabelled(path, self.text) for path in self.unlabelled]
        data = [text_data.fingerprint(part) for part in (train, test, *more)]
        texts = np.concatenate([part.texts for part in (train, *more)])
        are_words = text_vocabulary.has_words(texts, self.vocabulary_size)
        if self.num_augmented:
            made = make_new_texts(train.texts, self.num_augmented, are_words, self.seed)
            more.append(Examples(made))
        transfer_set = train
        for part in more:
            unseen = text_data.without(part, [transfer_set, test])
            transfer_set = transfer_set + unseen if len(unseen) else transfer_set
        per_word = 1 if are_words else _PIECES_PER_WORD
        length = per_word * self.sequence_length
        vocabulary = text_vocabulary.learn_vocabulary(
            transfer_set.texts, self.vocabulary_size, length, are_words
        )
        texts = [*transfer_set.texts, *test.texts]
        vocabulary = limited_to(vocabulary, texts)
        settings = settings_of(self, data)
        settings["vocabulary"] = text_data.fingerprint_vocabulary(vocabulary)
        folder = RunFolder("output", pathlib.Path(self.output), "job", settings)
        num_classes = len(train.class_names)
        student = make_student(self.student, vocabulary, num_classes, 0.0)
        check_memory(
            student, vocabulary.sequence_length, length, per_word, self.student == "bilstm"
        )
        keras.utils.set_random_seed(self.seed)
        teacher = make_teacher(
            self.teacher,
            self.preprocessor,
            self.teacher_signature,
            vocabulary,
            train,
            self.teacher_epochs,
            teacher_length(length, texts),
        )
        num_steps = self.num_steps
        if num_steps is None:
            num_steps = int(np.clip(10 * len(transfer_set) / _BATCH_SIZE, 1000, 10_000))
        return _TextWork(
            folder=folder,
            train=train,
            test=test,
            transfer_set=transfer_set,
            vocabulary=vocabulary,
            teacher=teacher,
            student=student,
            num_steps=num_steps,
            num_threads=self.num_threads,
            num_duplicates=text_data.num_duplicates(train, test),
            warnings=(
                *_said_of_length(length, vocabulary.sequence_length, per_word),
                *text_vocabulary.warnings_of(vocabulary, test.texts),
            ),
        )

    def _check(self):
        check_choice("student", self.student, KINDS)
        super()._check()
        check_teacher(self.teacher, self.preprocessor, self.teacher_signature)
        self._set(
            sequence_length=check_integer("sequence_length", self.sequence_length),
            num_augmented=check_integer("num_augmented", self.num_augmented, minimum=0),
            vocabulary_size=check_integer("vocabulary_size", self.vocabulary_size, minimum=6),
        )

    def _labelled(self, part):
        return part

    def _to_answer(self, work):
        return work.transfer_set

    def _train_alone(self, work, fit_settings):
        settings = {"learning_rate": 2e-3, "hard_loss": _SMOOTHED, "fit_settings": fit_settings}
        return self._train(work, "alone", _one_hot(work.train), 0.3, **settings)

    def _distil(self, work, store, soft_loss, fit_settings):
        return self._train(
            work,
            "distilled",
            store.attach(work.transfer_set),
            0.1,
            soft_loss=soft_loss,
            alpha=self.alpha,
            learning_rate=4e-3,
            hard_loss=_CROSS_ENTROPY,
            fit_settings=fit_settings,
        )

    def _baseline(self, work):
        return linear_baseline(work.train, work.test, self.seed)

    def _to_try(self, work):
        return work.test.texts[:1000].tolist()

    def _test_data(self, work):
        metadata = self._metadata(work)
        return {
            "test": work.test,
            "preprocessor": work.vocabulary,
            "phone_preprocessor": lambda texts: metadata.prepare_inputs(
                np.asarray(work.vocabulary(texts))
            ),
        }

    def _train(self, work, name, dataset, dropout, **settings):
        names, watched = work.train.class_names, self._watched(work)
        return train_student(
            work.folder.path,
            name,
            lambda: make_student(self.student, work.vocabulary, len(names), dropout),
            lambda: batch_by_length(
                dataset,
                work.vocabulary,
                bucket_lengths=lengths_up_to(work.vocabulary.sequence_length),
                batch_size=_BATCH_SIZE,
                seed=self.seed,
            ).repeat(),
            class_names=names,
            num_steps=work.num_steps,
            seed=self.seed,
            held_out=(np.asarray(work.vocabulary(watched.texts.tolist())), watched.labels),
            **settings,
        )

    def _export(self, work, student):
        # The file is always written anew, because the quantization may have changed.
        said = export_phone_file(self._fixed(work, student), **self._phone(work))
        if not work.folder.has("serving/1"):
            export_saved_model(student, **self._server(work))
        return said

    def _check_export(self, work):
        check_tflite(self._fixed(work, work.student), **self._phone(work))
        if not work.folder.has("serving/1"):
            check_saved_model(work.student, **self._server(work))

    def _fixed(self, work, student):
        return for_export(self.student, student, work.vocabulary, len(work.train.class_names))

    def _phone(self, work):
        """Arguments of `export_tflite`."""
        ids = np.asarray(work.vocabulary(_texts_to_check(work)))
        missing = work.vocabulary.sequence_length - ids.shape[1]
        return {
            "path": exported(work.folder.path)["phone"],
            "quantization": self.quantization,
            "representative_data": np.pad(ids, [(0, 0), (0, missing)]),
            "metadata": self._metadata(work),
        }

    def _metadata(self, work):
        tokenizer = text_vocabulary.tokenizer_of(work.vocabulary)
        return TextMetadata(work.train.class_names, work.vocabulary, tokenizer)

    def _server(self, work):
        """Arguments of `export_saved_model`."""
        return {
            "directory": exported(work.folder.path)["server"],
            "version": 1,
            "class_names": work.train.class_names,
            "preprocessor": work.vocabulary,
            "warmup": _texts_to_check(work)[:10],
        }


@dataclasses.dataclass(frozen=True)
class _TextWork:
    """A job's data and settings after its files are read; as a str, the plan of the job."""

    folder: RunFolder
    train: Examples
    test: Examples
    transfer_set: Examples
    vocabulary: Vocabulary
    teacher: object
    student: keras.Model
    num_steps: int
    num_duplicates: int
    num_threads: tuple
    warnings: tuple
    broken: tuple = ()

    def batch(self):
        """A batch of texts for the teacher."""
        return tf.constant(np.resize(self.train.texts, _BATCH_SIZE).tolist())

    def seconds(self):
        """Estimated seconds of each stage."""
        texts = self.batch()
        return stage_seconds(
            (self.teacher.model, texts),
            (self.student, self.vocabulary(texts)),
            teacher_batches=self.teacher.num_texts / _BATCH_SIZE,
            answers=len(self.transfer_set) / _BATCH_SIZE,
            steps=self.num_steps,
            test_batches=len(self.test) / _BATCH_SIZE,
            timings=self.num_threads,
        )

    def __str__(self):
        lines = [
            f"{len(self.train):,} texts to train on, {len(self.train.class_names)} classes; "
            f"{len(self.transfer_set):,} for the teacher to answer; {len(self.test):,} to test on",
            f"teacher: {self.teacher.model.count_params():,} parameters; student: "
            f"{self.student.count_params():,}, {self.num_steps:,} steps",
        ]
        if self.num_duplicates:
            lines.append(
                f"Warning: {self.num_duplicates:,} of the test texts are in the training file, "
                "too: the accuracy will look better than it is."
            )
        return "\n".join([*lines, *self.warnings])


def _said_of_length(wanted, found, per_word):
    if found == wanted:
        return ()
    return (
        f"No text is as long as sequence_length says, {wanted // per_word:,}: the students read "
        f"{found // per_word:,} words of a text.",
    )


def _texts_to_check(work):
    # The test set is left out, because its accuracy is measured later. A table may be sorted, so
    # the texts are spread over all of it.
    places = np.linspace(0, len(work.train) - 1, 300).astype(int)
    return work.train.texts[np.unique(places)].tolist()


def _one_hot(examples):
    labels = keras.utils.to_categorical(examples.labels, len(examples.class_names))
    return dataclasses.replace(examples, labels=labels)
