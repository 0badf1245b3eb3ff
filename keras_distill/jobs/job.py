"""The stages of every job, for any kind of examples."""

import dataclasses
import json
import os
from functools import partial

from keras_distill._arguments.checks import check_boolean
from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_positive
from keras_distill._arguments.checks import check_rate
from keras_distill._arguments.checks import check_seed
from keras_distill.evaluation.costs import check_threads
from keras_distill.jobs import interruption
from keras_distill.jobs.answer_in_words import in_words
from keras_distill.jobs.answer_in_words import wrapped
from keras_distill.jobs.model_card import make_card
from keras_distill.jobs.progress import Stages
from keras_distill.jobs.progress import describe_plan
from keras_distill.jobs.results import check_results
from keras_distill.jobs.results import compare_models
from keras_distill.jobs.results import exported
from keras_distill.jobs.results import files_of
from keras_distill.jobs.results import result_of
from keras_distill.jobs.teacher_classes import in_order_of_data
from keras_distill.jobs.teacher_head import soft_loss_for
from keras_distill.jobs.teacher_knowledge import examine
from keras_distill.jobs.teacher_knowledge import is_worse
from keras_distill.jobs.teacher_knowledge import labels_differ
from keras_distill.jobs.teacher_knowledge import sample
from keras_distill.jobs.training import check_training
from keras_distill.jobs.training import train_teacher
from keras_distill.store.plan import check_labelling
from keras_distill.store.teacher_store import TeacherStore

ANSWERS = "answers"
# These settings do not affect the training: places of files, and later stages.
_FREE = ("output", "train", "test", "unlabelled", "quantization", "num_threads", "verbose")


class Job:
    """The base of `TextJob` and `ImageJob`, which are dataclasses of settings. They define

    - `_prepare()`: reads and checks everything, and returns the job's data and settings;
    - `_labelled(part)`: labelled examples in the form that `compare` takes;
    - `_to_answer(work)`: the examples for which the teacher's outputs are stored;
    - `_train_alone(work, fit_settings)` and `_distil(work, store, soft_loss, fit_settings)`: the
      trained students; fit_settings is that of `train_student`;
    - `_test_data(work)`: arguments of `compare_models`;
    - `_export(work, student)`: exports the student, and returns sentences to print;
    - `_to_try(work)`: arguments for `keras-distill predict`;
    - `_unit` and `_page`: what an example is called, and the page about its use in apps;
    - `_check_export(work)`: raises the errors of `_export` that need no trained student.
    """

    def run(self):
        """Runs the job, or the stages that are left.

        Returns:
            A dict: summary, a text; the figures of the comparison, files by name,
            num_duplicates, warnings, and broken, the files that were left out, with the reasons.

        Raises:
            ValueError: If an argument or a file does not fit, before anything is trained.
        """
        work = self._checked()
        with work.folder.begun(), interruption.watched():
            return self._run(work)

    def dry_run(self):
        """Describes what `run` would do, with sizes and times, and writes nothing.

        Returns:
            A dict: summary, a text; num_train, num_test, num_transfer, num_duplicates,
            num_steps, and the estimated seconds of each stage.
        """
        work = self._checked()
        return describe_plan(work, getattr(work.teacher, "notes", ()))

    def _checked(self):
        """Reads all data and runs the checks of all stages before the first stage begins."""
        work = self._prepare()
        work.teacher.is_told = not work.teacher.is_ready
        if work.teacher.is_ready:
            work.teacher.model, work.teacher.is_told = in_order_of_data(
                work.teacher.model, self.teacher, self.class_names, work.train.class_names
            )
        elif self.class_names is not None:
            raise ValueError(
                "class_names must be left out for a teacher that is trained here: it gets the "
                f"classes of the data. Received: class_names={self.class_names!r:.200}"
            )
        for checks in self._checks(work).values():
            for check in checks:
                check()
        return work

    def _checks(self, work):
        """Checks of the stages: lists of functions without arguments, by the stages' names.

        The stages begin with the same functions. Checks that need the trained teacher or
        student are left to the stage.
        """
        path = work.folder.path
        return {
            "train the teacher": [partial(check_training, path, "teacher")],
            "store its answers": [
                *([partial(self._examine, work, work.teacher.model)] * work.teacher.is_ready),
                partial(check_labelling, self._to_answer(work), work.teacher.model, path / ANSWERS),
            ],
            "train the student alone": [partial(check_training, path, "alone")],
            "distil the student": [
                partial(check_training, path, "distilled"),
                partial(soft_loss_for, work.teacher.model, work.batch(), self.temperature),
            ],
            "export": [partial(self._check_export, work)],
            "compare": [
                partial(check_results, path, num_threads=self.num_threads, **self._test_data(work))
            ],
        }

    def _run(self, work):
        stages = Stages(work.seconds(), verbose=self.verbose)
        print("\n".join(map(wrapped, str(work).splitlines())))
        path, students = work.folder.path, {}
        with stages("train the teacher"):
            teacher = train_teacher(path, work.teacher, work.train, self.seed, stages.of_fit)
            notes = self._examine(work, teacher)
            soft_loss = soft_loss_for(teacher, work.batch(), self.temperature)
        with stages("store its answers"):
            store = TeacherStore.build(
                self._to_answer(work), teacher, path / ANSWERS, verbose=int(self.verbose)
            )
        with stages("train the student alone"):
            students["alone"] = self._train_alone(work, stages.of_fit)
            test = self._labelled(self._watched(work))
            reader = self._test_data(work).get("preprocessor")
            _say(is_worse(teacher, students["alone"], test, reader))
        with stages("distil the student"):
            students["distilled"] = self._distil(work, store, soft_loss, stages.of_fit)
        with stages("export"):
            said = self._export(work, students["distilled"])
            _say(said)
        with stages("compare"):
            comparison = compare_models(
                path,
                teacher,
                students,
                make_card=partial(make_card, self, work),
                notes=(*notes, *said),
                baseline=self._baseline(work),
                num_threads=self.num_threads,
                timed=None if self.verbose else tuple(exported(path)),
                seed=self.seed,
                verbose=int(self.verbose),
                **self._test_data(work),
            )
        stages.end()
        more = {"num_duplicates": work.num_duplicates, "broken": list(work.broken)}
        answer = in_words(
            comparison,
            files_of(path),
            unit=self._unit,
            examples=self._to_try(work),
            page=self._page,
            notes=work.warnings,
        )
        summary = f"{comparison}\n\n{answer}" if self.verbose else answer
        return result_of(path, comparison, summary, warnings=list(work.warnings), **more)

    def _examine(self, work, teacher):
        """Prints the weaknesses of the teacher, once, and returns the sentences."""
        if not hasattr(work.teacher, "notes"):
            part = work.train[sample(len(work.train), self.seed)]
            is_ready, is_told = work.teacher.is_ready, work.teacher.is_told
            notes = examine(teacher, self._labelled(part), is_ready=is_ready, is_told=is_told)
            test = self._labelled(self._watched(work))
            work.teacher.notes = notes + labels_differ(teacher, test)
            _say(work.teacher.notes)
        return work.teacher.notes

    def _baseline(self, work):
        """The `LinearBaseline` of a job, or None."""
        return None

    def _watched(self, work):
        """At most 1,000 test examples, to look at models before the comparison."""
        return work.test[sample(len(work.test), self.seed)]

    def _check(self):
        """Raises `ValueError` unless the settings that all jobs have fit."""
        if not isinstance(self.teacher, (str, os.PathLike)):
            raise ValueError(
                f"teacher must be a name or a path. Received: teacher={self.teacher!r:.200}. Of a "
                "model give its file: model.save('teacher.keras')."
            )
        is_list = isinstance(self.unlabelled, (list, tuple))
        if not is_list or not all(isinstance(path, (str, os.PathLike)) for path in self.unlabelled):
            # Each letter of a str would be treated as a path.
            raise ValueError(
                "unlabelled must be a tuple of paths. Received: "
                f"unlabelled={self.unlabelled!r:.200}. Of one path write (path,), with the comma."
            )
        self._set(
            num_threads=check_threads(self.num_threads),
            teacher_epochs=check_integer("teacher_epochs", self.teacher_epochs),
            seed=check_seed("seed", self.seed),
            test_rate=check_rate("test_rate", self.test_rate, with_one=False),
            alpha=check_rate("alpha", self.alpha),
            temperature=check_positive("temperature", self.temperature),
            num_steps=check_integer("num_steps", self.num_steps, optional=True),
            verbose=check_boolean("verbose", self.verbose),
        )

    def _set(self, **checked):
        """Replaces settings by their plain values, which the folder of the job remembers."""
        for name, value in checked.items():
            # Users cannot set them: the dataclasses are frozen.
            object.__setattr__(self, name, value)


def _say(sentences):
    for sentence in sentences:
        print(f"Warning: {sentence}")


def settings_of(job, data):
    """The settings on which the results of a job depend, as a JSON-compatible dict.

    Args:
        job: A dataclass.
        data: Fingerprints of the data; they replace paths, because files may move.
    """
    settings = {n: value for n, value in dataclasses.asdict(job).items() if n not in _FREE}
    return {**json.loads(json.dumps(settings, default=str)), "data": data}
