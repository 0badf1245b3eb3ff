"""Where the quickstart's distillation pays and where it does not, by its own functions.

    python benchmarks/quickstart_settings.py [--seeds 3]

Every student is the same network and takes the same number of steps, with the settings of
the quickstart's distilled student where a row does not say otherwise ("alone" has its own).
Prints the mean and the standard deviation of the test accuracy over the students' seeds, of
one teacher for each set of labels. Up to half an hour on two cores.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "examples"))
import quickstart

TEACHER_STEPS, STUDENT_STEPS = 600, 2000


class Students:
    """Trains students on texts of which some, or all, have a label."""

    def __init__(self, vocabulary_size, x, y, num_seeds, teacher_steps):
        self.vocabulary_size, self.x, self.y, self.num_seeds = vocabulary_size, x, y, num_seeds
        self.labelled = x[y >= 0], y[y >= 0]
        self.teacher = quickstart.train_teacher(vocabulary_size, *self.labelled, teacher_steps)
        self.logits = self.answers(self.teacher)
        # Texts without a label get the teacher's most likely intent.
        self.hard_labels = np.where(y >= 0, y, self.logits.argmax(-1))

    def answers(self, teacher):
        return teacher.predict(self.x, batch_size=500, verbose=0)

    def one_alone(self, seed):
        return quickstart.train_alone(self.vocabulary_size, *self.labelled, STUDENT_STEPS, seed)

    def alone(self):
        return [self.one_alone(seed) for seed in range(self.num_seeds)]

    def hard_labels_alone(self):
        data = self.vocabulary_size, self.x, self.hard_labels, STUDENT_STEPS
        return [quickstart.train_alone(*data, seed) for seed in range(self.num_seeds)]

    def distilled(self, logits=None, labelled_only=False, **settings):
        logits = self.logits if logits is None else logits
        chosen = self.y >= 0 if labelled_only else slice(None)
        return self._taught(self.x[chosen], self.y[chosen], logits[chosen], **settings)

    def from_hard_labels(self):
        return self._taught(self.x, self.hard_labels, self.logits, alpha=1.0)

    def _taught(self, x, y, logits, **settings):
        data = self.vocabulary_size, x, y, logits, STUDENT_STEPS
        seeds = range(self.num_seeds)
        return [quickstart.train_distilled(*data, seed, **settings) for seed in seeds]


def ten_labels(students):
    yield "teacher", [students.teacher]
    yield "alone", students.alone()
    yield "distilled", students.distilled()
    yield "hard pseudo-labels", students.from_hard_labels()
    yield "hard pseudo-labels, settings of the one alone", students.hard_labels_alone()
    yield "distilled, labelled texts only", students.distilled(labelled_only=True)
    yield (
        "distilled, labelled texts only, at dropout 0.7",
        students.distilled(labelled_only=True, dropout=0.7),
    )
    peer = students.one_alone(seed=students.num_seeds)
    yield "a teacher of the student's size", [peer]
    yield "distilled from that teacher", students.distilled(students.answers(peer))
    for temperature in (1.0, 4.0):
        name = f"distilled, temperature {temperature:g} in place of 2"
        yield name, students.distilled(temperature=temperature)
    for alpha in (0.0, 0.5):
        yield f"distilled, alpha {alpha:g} in place of 0.1", students.distilled(alpha=alpha)


def other_ten_labels(students):
    yield "teacher", [students.teacher]
    yield "alone", students.alone()
    yield "distilled", students.distilled()


def all_labels(students):
    yield "teacher", [students.teacher]
    yield "alone", students.alone()
    yield "alone, settings of the distilled one", students.from_hard_labels()
    yield "distilled", students.distilled()
    yield "distilled, at dropout 0.7", students.distilled(dropout=0.7)


def print_table(title, settings, test):
    print(f"\n| {title} | test accuracy |\n|---|---|", flush=True)
    for name, models in settings:
        accuracies = [quickstart.accuracy(model, *test) for model in models]
        spread = f" ± {np.std(accuracies, ddof=1):.1f}" if len(models) > 1 else ""
        print(f"| {name} | {np.mean(accuracies):.1f}{spread} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    num_seeds = parser.parse_args().seeds
    keras.config.disable_interactive_logging()
    vectorize, _, (x, y), test = quickstart.load()
    size = vectorize.vocabulary_size()
    few = [quickstart.keep_labels(y, per_class=10, seed=seed) for seed in range(2)]

    def students(y, teacher_steps):
        return Students(size, x, y, num_seeds, teacher_steps)

    print_table("ten labels per intent", ten_labels(students(few[0], TEACHER_STEPS)), test)
    other = students(few[1], TEACHER_STEPS)
    print_table("another ten labels per intent", other_ten_labels(other), test)
    # Ten times the labels: as many steps as a student.
    print_table("all 15,000 labels", all_labels(students(y, STUDENT_STEPS)), test)


if __name__ == "__main__":
    main()
