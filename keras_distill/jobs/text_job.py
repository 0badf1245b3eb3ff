"""From a table of texts to a student that is shipped: teacher, store, students, files, report."""

import dataclasses
import json
import pathlib
import shutil
import time

import keras
import numpy as np
import tensorflow as tf

from keras_distill.arguments import check_integers
from keras_distill.arguments import check_rates
from keras_distill.destination import replaced_file
from keras_distill.evaluation import compare
from keras_distill.export import TextMetadata
from keras_distill.export import export_saved_model
from keras_distill.export import export_tflite
from keras_distill.export.quantization import MODES
from keras_distill.jobs import text_data
from keras_distill.jobs.folder import JobFolder
from keras_distill.jobs.stages import Stages
from keras_distill.jobs.stages import duration
from keras_distill.jobs.text_student import BATCH_SIZE
from keras_distill.jobs.text_student import KINDS
from keras_distill.jobs.text_student import for_export
from keras_distill.jobs.text_student import make_student
from keras_distill.jobs.text_student import teach
from keras_distill.jobs.text_teacher import ReadyTeacher
from keras_distill.jobs.text_teacher import gives_logits
from keras_distill.jobs.text_teacher import make_teacher
from keras_distill.losses import SoftTargetKL
from keras_distill.store import TeacherStore
from keras_distill.text import Examples
from keras_distill.text import Vocabulary
from keras_distill.text import augment
from keras_distill.text import from_lists
from keras_distill.text import learn_words

# -1 is a text without a label.
_CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
# With hard labels only, smoothing helps.
_SMOOTHED = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
# Mostly processes that start; they hardly depend on the data.
_EXPORT_SECONDS, _COMPARE_SECONDS = 25, 70


@dataclasses.dataclass(frozen=True)
class TextJob:
    """A whole distillation of a text classifier.

    Trains or takes a teacher, stores its answers to the labelled and unlabelled texts, trains
    a student alone and one by the teacher in as many steps, writes the distilled one as a
    TFLite file and a SavedModel, and compares all on the test set. Settings of the training
    are defaults and not tuned for the data; both students get the same number of steps.

    Args:
        train: A .csv, .tsv or .jsonl file with texts and labels, also .gz.
        output: The folder for all that is written. Stopped at any point, the same job goes
            on there.
        teacher: A KerasHub preset or folder, a Hugging Face folder, a TF-Hub handle or folder,
            which is fine-tuned; a .keras file of a classifier that reads texts; or
            "ensemble", four networks from scratch.
        preprocessor: A TF-Hub teacher's preprocessor, a handle or folder.
        student: "bilstm", "text_cnn" or "transformer".
        test: A file like train. None: a part of train, each class by its share.
        test_rate: How much of it, in (0, 1).
        unlabelled: Files with more texts for the teacher to answer: of a table the text's
            column, of other files each line; "-" is standard input.
        text, label: Names of the columns.
        num_augmented: Rounds of `text.augment`, whose texts the teacher answers as well.
        quantization: A mode of `export_tflite`.
        max_length: Words of a text for the student, and tokens for the teacher.
        vocabulary_size: Number of words that the student knows.
        num_steps: Training steps of each student, of 64 texts. None: 10 rounds over all
            texts, at least 1,000 and at most 10,000.
        teacher_epochs: Rounds of the teacher over the labelled texts.
        alpha, temperature: Of the `Distiller`.
        num_threads: Numbers of threads to time the models on; none: they are not timed.
        seed: Of all that is drawn.

    Example:

    ```python
    result = kd.jobs.TextJob("reviews.csv", "out", teacher="bert_base_en_uncased").run()
    ```
    """

    train: str
    output: str
    teacher: str
    preprocessor: str | None = None
    student: str = "text_cnn"
    test: str | None = None
    test_rate: float = 0.2
    unlabelled: tuple = ()
    text: str = "text"
    label: str = "label"
    num_augmented: int = 0
    quantization: str = "dynamic"
    max_length: int = 64
    vocabulary_size: int = 10_000
    num_steps: int | None = None
    teacher_epochs: int = 5
    alpha: float = 0.1
    temperature: float = 2.0
    num_threads: tuple = (1, 2)
    seed: int = 0

    def run(self):
        """Runs the job, or what is left of it.

        Returns:
            A dict: the figures of the comparison, files by name, num_duplicates.

        Raises:
            ValueError: If an argument or a file does not fit, before anything is trained.
        """
        work = self._prepare()
        stages = Stages(work.seconds())
        work.folder.begin()
        print(work)
        with stages("train the teacher"):
            teacher = self._trained_teacher(work)
        with stages("store its answers"):
            store = TeacherStore.build(work.transfer_set, teacher, work.path / "answers")
        with stages("train the student alone"):
            lesson = {"alpha": 1.0, "learning_rate": 2e-3, "hard_loss": _SMOOTHED}
            alone = self._trained_student(work, "alone", _one_hot(work.train), 0.3, lesson)
        with stages("distil the student"):
            soft_loss = SoftTargetKL(self.temperature, teacher_from_logits=gives_logits(teacher))
            lesson = {"alpha": self.alpha, "learning_rate": 4e-3, "hard_loss": _CROSS_ENTROPY}
            lesson["soft_loss"] = soft_loss
            taught = store.attach(work.transfer_set)
            distilled = self._trained_student(work, "distilled", taught, 0.1, lesson)
        with stages("export"):
            self._export(work, distilled)
        with stages("compare"):
            comparison = self._compare(work, teacher, alone, distilled)
        stages.end()
        return self._result(work, comparison)

    def dry_run(self):
        """Says what `run` would do, with sizes and times, and writes nothing.

        Returns:
            A dict: num_train, num_test, num_transfer, num_duplicates, num_steps, and the
            estimated seconds of each stage.
        """
        work = self._prepare()
        print(work)
        seconds = work.seconds()
        for name, estimate in seconds.items():
            print(f"{name}: about {duration(estimate)}")
        print(f"In all about {duration(sum(seconds.values()))}. Nothing was written.")
        return {
            "num_train": len(work.train),
            "num_test": len(work.test),
            "num_transfer": len(work.transfer_set),
            "num_duplicates": work.num_duplicates,
            "num_steps": work.num_steps,
            "seconds": seconds,
        }

    def _prepare(self):
        self._check()
        train = text_data.read_labelled(self.train, self.text, self.label)
        text_data.check_classes(train)
        if self.test is None:
            train, test = text_data.split(train, self.test_rate, self.seed)
        else:
            test = text_data.read_labelled(self.test, self.text, self.label, train.class_names)
        more = [text_data.read_unlabelled(path, self.text) for path in self.unlabelled]
        settings = dataclasses.asdict(self)
        settings["data"] = [text_data.fingerprint(part) for part in (train, test, *more)]
        # Where the folder is does not matter to what is in it.
        del settings["output"]
        folder = JobFolder(pathlib.Path(self.output), settings)
        if self.num_augmented:
            new_texts = augment(train.texts, self.num_augmented, seed=self.seed)
            more.append(from_lists(new_texts.tolist()))
        transfer_set = train
        for part in more:
            unseen = text_data.without(part, [transfer_set, test])
            transfer_set = transfer_set + unseen if len(unseen) else transfer_set
        # As MediaPipe's tokenizer reads texts: words between blanks.
        vocabulary = learn_words(
            transfer_set.texts, self.vocabulary_size, max_length=self.max_length
        )
        keras.utils.set_random_seed(self.seed)
        teacher = make_teacher(
            self.teacher, self.preprocessor, vocabulary, train, self.teacher_epochs, self.max_length
        )
        num_steps = self.num_steps
        if num_steps is None:
            num_steps = int(np.clip(10 * len(transfer_set) / BATCH_SIZE, 1000, 10_000))
        return _Work(
            folder=folder,
            train=train,
            test=test,
            transfer_set=transfer_set,
            vocabulary=vocabulary,
            teacher=teacher,
            student=make_student(self.student, vocabulary, len(train.class_names), 0.0),
            num_steps=num_steps,
            num_duplicates=text_data.num_duplicates(train, test),
        )

    def _check(self):
        if self.student not in KINDS:
            raise ValueError(f"student must be one of {KINDS}. Received: {self.student!r}")
        if self.quantization not in MODES:
            raise ValueError(
                f"quantization must be one of {tuple(MODES)}. Received: {self.quantization!r}"
            )
        check_integers(max_length=self.max_length, teacher_epochs=self.teacher_epochs)
        check_integers(minimum=0, num_augmented=self.num_augmented, seed=self.seed)
        check_integers(minimum=6, vocabulary_size=self.vocabulary_size)
        check_rates(with_one=False, test_rate=self.test_rate)
        check_rates(alpha=self.alpha)
        SoftTargetKL(self.temperature)  # Checks it.
        if self.num_steps is not None:
            check_integers(num_steps=self.num_steps)

    def _trained_teacher(self, work):
        if isinstance(work.teacher, ReadyTeacher):
            return work.teacher.model
        path = work.path / "teacher.keras"
        if not path.exists():
            work.teacher.train(work.train, self.seed)
            with replaced_file(path) as written:
                work.teacher.model.save(written)
        # From the file in any case, so that a job that was stopped has the same teacher.
        return keras.models.load_model(path, compile=False)

    def _trained_student(self, work, name, dataset, dropout, lesson):
        path, backup = work.path / f"{name}.keras", work.path / f"{name}-backup"
        if not path.exists():
            keras.utils.set_random_seed(self.seed)
            num_classes = len(work.train.class_names)
            student = make_student(self.student, work.vocabulary, num_classes, dropout)
            history = teach(
                student,
                work.vocabulary,
                dataset,
                work.num_steps,
                backup=backup,
                seed=self.seed,
                **lesson,
            )
            with replaced_file(path.with_suffix(".json")) as written:
                written.write_text(json.dumps(history.history), encoding="utf-8")
            with replaced_file(path) as written:
                student.save(written)
        shutil.rmtree(backup, ignore_errors=True)
        return keras.models.load_model(path, compile=False)

    def _export(self, work, student):
        names, vocabulary = work.train.class_names, work.vocabulary
        fixed = for_export(self.student, student, vocabulary, len(names))
        texts = work.test.texts[:100].tolist()
        ids = np.asarray(vocabulary(texts))
        missing = self.max_length - ids.shape[1]
        if not work.folder.has("student.tflite"):
            export_tflite(
                fixed,
                work.path / "student.tflite",
                quantization=self.quantization,
                representative_data=np.pad(ids, [(0, 0), (0, missing)]),
                metadata=TextMetadata(names, vocabulary, "regex", self.max_length),
            )
        if not work.folder.has("serving/1"):
            export_saved_model(
                student,
                work.path / "serving",
                version=1,
                labels=names,
                preprocessor=vocabulary,
                warmup=texts[:10],
            )

    def _compare(self, work, teacher, alone, distilled):
        models = {
            "teacher": teacher,
            "alone": alone,
            "distilled": distilled,
            "phone": work.path / "student.tflite",
            "server": work.path / "serving",
        }
        histories = {}
        for name in ("alone", "distilled"):
            histories[name] = keras.callbacks.History()
            logged = (work.path / f"{name}.json").read_text(encoding="utf-8")
            histories[name].history = json.loads(logged)
        comparison = compare(
            models,
            work.test,
            preprocessors=dict.fromkeys(("alone", "distilled", "phone"), work.vocabulary),
            histories=histories,
            num_threads=self.num_threads,
            seed=self.seed,
        )
        comparison.write_html(work.path / "report.html", f"Distilled from {self.teacher}")
        comparison.write_json(work.path / "report.json")
        comparison.write_markdown(work.path / "report.md")
        return comparison

    def _result(self, work, comparison):
        files = {
            "phone": work.path / "student.tflite",
            "server": work.path / "serving",
            "report": work.path / "report.html",
        }
        print(f"\n{comparison}\n")
        for name, path in files.items():
            print(f"{name}: {path}")
        return {
            **json.loads(comparison.to_json()),
            "files": {name: str(path) for name, path in files.items()},
            "num_duplicates": work.num_duplicates,
        }


@dataclasses.dataclass(frozen=True)
class _Work:
    """What a job works with, once its files are read; as a str, what it will do."""

    folder: JobFolder
    train: Examples
    test: Examples
    transfer_set: Examples
    vocabulary: Vocabulary
    teacher: object
    student: keras.Model
    num_steps: int
    num_duplicates: int

    @property
    def path(self):
        return self.folder.path

    def seconds(self):
        """Estimated seconds of each stage, from a few batches: not yet trained, as fast."""
        texts = np.resize(self.train.texts, BATCH_SIZE).tolist()
        teacher = _seconds_per_batch(self.teacher.model, tf.constant(texts))
        student = _seconds_per_batch(self.student, self.vocabulary(texts))
        # Forwards, and twice as much backwards.
        training = 3 * student * self.num_steps
        return {
            "train the teacher": 3 * teacher * self.teacher.num_texts / BATCH_SIZE,
            "store its answers": teacher * len(self.transfer_set) / BATCH_SIZE,
            "train the student alone": training,
            "distil the student": training,
            "export": _EXPORT_SECONDS,
            "compare": _COMPARE_SECONDS + teacher * len(self.test) / BATCH_SIZE,
        }

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
        return "\n".join(lines)


def _seconds_per_batch(model, x):
    run = tf.function(lambda x: model(x, training=False), autograph=False)
    run(x)
    start = time.perf_counter()
    run(x)
    return time.perf_counter() - start


def _one_hot(examples):
    labels = keras.utils.to_categorical(examples.labels, len(examples.class_names))
    return dataclasses.replace(examples, labels=labels)
