"""What several teachers, one for each task, annealing, and how tasks are drawn gain on real texts.

    python benchmarks/teachers_and_tasks.py FOLDER_OF_TEXT_DATA

The folder has clinc150, snips, sms_spam and sst2 as .tsv.gz files. All models embed the words of a
text, with a convolution or without, pool, and classify.

1. Three teachers of CLINC150's 150 intents. Each learns from 10 texts of each of 100 random
   intents, and from 2 of each of the others. A student learns from what they say of 3,000 other
   texts, without labels. Specialists are teachers of these 100 intents alone. A fourth teacher,
   of two texts of each intent, is weak: what are weights by the accuracy on the dev set worth?
2. Four tasks. Teachers and students learn from the same few labelled texts: one teacher for each
   task, then one student for each task, or one for all.

Prints the mean and standard deviation of the test accuracy over the seeds, of data, teachers and
students alike.
"""

import argparse
import csv
import gzip
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_distill as kd

NUM_WORDS, LENGTH, BATCH_SIZE = 5000, 24, 64
TASKS = {"clinc150": 3000, "snips": 1500, "sst2": 2000, "sms_spam": 400}
TRAIN_FILES = {"sst2": "train_sentences"}
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def load(folder, task, part):
    """Texts and labels."""
    name = TRAIN_FILES.get(task, part) if part == "train" else part
    with gzip.open(folder / task / f"{name}.tsv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return np.array([row[0] for row in rows]), np.array([row[-1] for row in rows])


class Texts:
    """Ids and integer labels of all tasks, with one vocabulary."""

    def __init__(self, folder):
        raw = {task: {p: load(folder, task, p) for p in ("train", "test")} for task in TASKS}
        raw["clinc150"]["dev"] = load(folder, "clinc150", "dev")
        vectorize = layers.TextVectorization(NUM_WORDS, output_sequence_length=LENGTH)
        vectorize.adapt(np.concatenate([raw[task]["train"][0] for task in TASKS]))
        self.num_classes = {task: len(set(raw[task]["train"][1])) for task in TASKS}
        self.parts = {task: {} for task in TASKS}
        for task in TASKS:
            classes = sorted(set(raw[task]["train"][1]))
            for part, (texts, labels) in raw[task].items():
                ids = vectorize(texts).numpy().astype("int32")
                self.parts[task][part] = ids, np.searchsorted(classes, labels).astype("int32")

    def train(self, task, seed):
        """All training examples, in an order of the seed."""
        x, y = self.parts[task]["train"]
        order = np.random.default_rng(seed).permutation(len(x))
        return x[order], y[order]

    def test(self, task):
        return self.parts[task]["test"]


def network(heads, width, convolution=False, dropout=0.1):
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(NUM_WORDS, width, mask_zero=not convolution)(inputs)
    if convolution:
        x = layers.Conv1D(width, 3, padding="same", activation="relu")(x)
    x = layers.GlobalMaxPooling1D()(x) if convolution else layers.GlobalAveragePooling1D()(x)
    x = layers.Dropout(dropout)(layers.Dense(width, "relu")(x))
    outputs = {head: layers.Dense(classes, name=head)(x) for head, classes in heads.items()}
    return keras.Model(inputs, outputs if len(outputs) > 1 else next(iter(outputs.values())))


def fit(model, data, num_steps, loss=CROSS_ENTROPY):
    """Takes num_steps over arrays or batches."""
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, num_steps)),
        loss,
        steps_per_execution=20,
        jit_compile=False,
    )
    if isinstance(data, tuple):
        dataset = tf.data.Dataset.from_tensor_slices(data)
        data = dataset.shuffle(len(dataset)).repeat().batch(BATCH_SIZE).take(num_steps)
    model.fit(data, verbose=0)
    return model


def accuracy(outputs, labels):
    return 100 * np.mean(np.argmax(outputs, axis=-1) == labels)


def logits(model, x):
    return np.asarray(model.predict(x, batch_size=500, verbose=0))


def several_teachers(texts, seed, steps, num_teachers=3):
    """Yields `(row, accuracy)`."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    x, y = texts.train("clinc150", seed)
    heads = {"clinc150": 150}
    # Of each intent 20 texts for each teacher's draw, and 20 others for the student.
    place = np.empty(len(y), int)
    for intent in range(150):
        place[y == intent] = np.arange(np.sum(y == intent))
    transfer = x[place >= 80]
    teachers, of_groups = [], []
    for index in range(num_teachers):
        well = rng.permutation(150)[:100]
        known = (place >= 20 * index) & (place < 20 * index + np.where(np.isin(y, well), 10, 2))
        teachers.append(fit(network(heads, 64, index % 2 == 1), (x[known], y[known]), steps))
        only = known & np.isin(y, well)
        well = np.sort(well)
        specialist = network({"clinc150": 100}, 64, index % 2 == 1)
        of_groups.append((fit(specialist, (x[only], np.searchsorted(well, y[only])), steps), well))
    test_x, test_y = texts.test("clinc150")
    single = np.mean([accuracy(logits(teacher, test_x), test_y) for teacher in teachers])
    yield "a teacher (mean of the three)", single
    few = (place >= 20 * num_teachers) & (place < 20 * num_teachers + 2)
    weak = fit(network(heads, 64), (x[few], y[few]), steps)
    yield "the weak teacher", accuracy(logits(weak, test_x), test_y)
    dev_x, dev_y = texts.parts["clinc150"]["dev"]
    of_dev = [accuracy(logits(teacher, dev_x), dev_y) for teacher in (*teachers, weak)]
    ensemble = kd.teachers.Ensemble
    mixtures = {
        "ensemble, equal weights": ensemble(teachers),
        "ensemble, confidence 2": ensemble(teachers, confidence=2.0),
        "ensemble with the weak one, equal weights": ensemble([*teachers, weak]),
        "ensemble with the weak one, weights by accuracy": ensemble(
            [*teachers, weak], weights=of_dev
        ),
    }
    for name, mixture in mixtures.items():
        yield name, accuracy(logits(mixture, test_x), test_y)

    def student_of(teacher, soft_loss):
        keras.utils.set_random_seed(1000 + seed)
        student = network(heads, 32)
        distiller = kd.Distiller(student=student, alpha=0.0, soft_loss=soft_loss)
        inputs = kd.DistillationInputs(transfer, teacher_outputs=logits(teacher, transfer))
        fit(distiller, (inputs,), steps)
        return accuracy(logits(student, test_x), test_y)

    models, groups = zip(*of_groups)
    groups = [group.tolist() for group in groups]
    covered = np.isin(test_y, np.concatenate(groups)).mean()
    yield "share of intents that some specialist knows", 100 * covered
    for temperature in (2.0, 1.0, 0.5):
        at = f"at temperature {temperature:g}"
        soft_targets = kd.losses.SoftTargetKL(temperature)
        singles = [student_of(teacher, soft_targets) for teacher in teachers]
        yield f"student of one teacher (mean of three students), {at}", np.mean(singles)
        for name, mixture in mixtures.items():
            yield f"student of the {name}, {at}", student_of(mixture, soft_targets)
        loss = kd.losses.SpecialistKL(groups, temperature=temperature)
        taught = student_of(kd.teachers.Specialists(models), loss)
        yield f"student of the three specialists, {at}", taught


def several_tasks(texts, seed, steps):
    """Yields `(row, {task: accuracy})`."""
    keras.utils.set_random_seed(seed)
    data = {task: [part[:n] for part in texts.train(task, seed)] for task, n in TASKS.items()}
    teachers = {}
    for task in TASKS:
        # Two networks of different kinds, which are better than either.
        members = [
            fit(network({task: texts.num_classes[task]}, 128, c), tuple(data[task]), steps)
            for c in (False, True)
        ]
        teachers[task] = kd.teachers.Ensemble(members)
    tests = {task: texts.test(task) for task in TASKS}

    def of_single(models):
        return {
            task: accuracy(logits(models[task], tests[task][0]), tests[task][1]) for task in TASKS
        }

    yield "teachers", of_single(teachers)
    answers = {task: logits(teachers[task], data[task][0]) for task in TASKS}
    taught = {
        task: (kd.DistillationInputs(x, teacher_outputs=answers[task]), y)
        for task, (x, y) in data.items()
    }
    soft_target_kl = kd.losses.SoftTargetKL
    decay = keras.optimizers.schedules.PolynomialDecay

    singles = {"labels": {}, "teachers": {}}
    for task in TASKS:
        heads = {task: texts.num_classes[task]}
        keras.utils.set_random_seed(1000 + seed)
        singles["labels"][task] = fit(network(heads, 32), tuple(data[task]), steps)
        keras.utils.set_random_seed(1000 + seed)
        student = network(heads, 32)
        singles["teachers"][task] = student
        fit(
            kd.Distiller(student=student, alpha=0.1, soft_loss=soft_target_kl(2.0)),
            taught[task],
            steps,
        )
    yield "a student for each task, from labels", of_single(singles["labels"])
    yield "a student for each task, alpha 0.1", of_single(singles["teachers"])

    # The student of all tasks takes as many steps as the students of one together.
    num_steps = steps * len(TASKS)
    # Alpha, temperature, and the power of its size by which a task is drawn.
    ways = {
        "one student, from labels": (1.0, 2.0, 0.75),
        "one student, alpha 0.1": (0.1, 2.0, 0.75),
        "one student, alpha 0.5": (0.5, 2.0, 0.75),
        "one student, alpha from 0 to 1": (decay(0.0, num_steps, 1.0), 2.0, 0.75),
        "one student, temperature from 4 to 1": (0.5, decay(4.0, num_steps, 1.0), 0.75),
        "one student, tasks drawn alike": (0.5, 2.0, 0.0),
        "one student, tasks drawn by size": (0.5, 2.0, 1.0),
    }
    for name, (alpha, temperature, exponent) in ways.items():
        keras.utils.set_random_seed(1000 + seed)
        student = network(texts.num_classes, 32)
        distiller = kd.Distiller(
            student=student, alpha=alpha, soft_loss=soft_target_kl(temperature)
        )
        batches = kd.data.mix_tasks(taught, BATCH_SIZE, exponent, num_steps, seed)
        fit(distiller, batches, num_steps, loss=dict.fromkeys(TASKS, CROSS_ENTROPY))
        outputs = {
            task: student.predict(tests[task][0], batch_size=500, verbose=0) for task in TASKS
        }
        yield name, {task: accuracy(outputs[task][task], tests[task][1]) for task in TASKS}


def runs_of(measure, arguments, texts):
    """`{row: result}` for each seed."""
    runs = []
    for seed in range(arguments.seeds):
        runs.append(dict(measure(texts, seed, arguments.steps)))
        print(seed, runs[-1], file=sys.stderr, flush=True)
    return runs


def cell(values):
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--part", choices=["teachers", "tasks", "both"], default="both")
    arguments = parser.parse_args()
    texts = Texts(arguments.data)
    if arguments.part != "tasks":
        runs = runs_of(several_teachers, arguments, texts)
        print("| CLINC150 | test accuracy | seed by seed |\n|---|---|---|")
        for row in runs[0]:
            values = [run[row] for run in runs]
            each = ", ".join(f"{value:.1f}" for value in values)
            print(f"| {row} | {cell(values)} | {each} |", flush=True)
    if arguments.part != "teachers":
        runs = runs_of(several_tasks, arguments, texts)
        print(f"\n| | {' | '.join(TASKS)} | mean |\n|---|{'---|' * (len(TASKS) + 1)}")
        for row in runs[0]:
            columns = [cell([run[row][task] for run in runs]) for task in TASKS]
            columns.append(cell([np.mean(list(run[row].values())) for run in runs]))
            print(f"| {row} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
