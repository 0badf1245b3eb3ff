"""What a TeacherStore costs: training from it, building it, and its growth.

    python benchmarks/teacher_store.py training --bert BERT --sst2 SST2 [--rounds 9]
    python benchmarks/teacher_store.py buckets --bert BERT --sst2 SST2 [--rounds 5]
    python benchmarks/teacher_store.py labelling --bert BERT --sst2 SST2 [--rounds 3]
    python benchmarks/teacher_store.py growth

training: steps of a student that learns from a store, over plain `fit` of the same student on the
same data. A BiLSTM on SST-2 sentences, batched by length; MLPs on arrays that are shuffled in every
epoch, with the store attached to the examples, also cached then, or to the batches. The floor is a
Keras model with a `compute_loss` of three lines, and the teacher's outputs are arrays in its data.

buckets: how long the first step of `fit` takes, steps a second for each length of batches of a
BiLSTM that learns from a store, and how often its step was traced.

labelling: `TeacherStore.build` over `teacher.predict` on texts padded to 64, and over the teacher's
own best time, which is that of each batch length by itself, timed on the build's batches, tokenized
and in memory, after its first. Every build traces the teacher anew; what a build of one text takes
is printed, and the ratio without it. BERT is a folder of Hugging Face's form, of 6 layers for the
figures of the README; SST2 the folder with train_sentences.tsv.gz.

growth: seconds and peak memory of building and reading stores of 10^4, 10^5 and 10^6 examples, each
in a process of its own.

In a round all variants run one after the other. Prints minimum, median and maximum.
"""

import argparse
import collections
import itertools
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from text_throughput import EpochTimer
from text_throughput import measure
from text_throughput import row

import keras_distill as kd
from keras_distill.store.label import Labeller

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
PADDED_LENGTH = 64


def make_arrays(num_examples, width=64, num_classes=10):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_examples, width)).astype("float32")
    return x, rng.integers(0, num_classes, num_examples).astype("int32")


def make_network(width, num_classes=10, input_dim=64):
    inputs = keras.Input((input_dim,))
    features = keras.layers.Dense(width, activation="relu")(inputs)
    features = keras.layers.Dense(width, activation="relu")(features)
    return keras.Model(inputs, keras.layers.Dense(num_classes)(features))


def fitting(model, data, num_steps):
    timer = EpochTimer()

    def run():
        model.fit(data, steps_per_epoch=num_steps, callbacks=[timer], shuffle=False, verbose=0)
        return timer.seconds

    return run


def training(arguments):
    print("| training | min | median | max | goal |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        train_bilstm(arguments, pathlib.Path(folder, "texts"))
        train_mlps(arguments, pathlib.Path(folder, "arrays"))


def train_bilstm(arguments, folder):
    teacher, examples = bert_and_sentences(arguments)
    store = kd.TeacherStore.build(examples, teacher, folder, verbose=0)
    vocabulary = kd.text.WordPieceVocabulary.from_teacher(teacher.preprocessor.preprocessor)
    lengths = (8, 16, 24, 32, 48, 64)
    variants, models = {}, {}
    for name, data in {"plain": examples, "store": store.attach(examples)}.items():
        batches = kd.text.batch_by_length(data, vocabulary, bucket_lengths=lengths)
        student = kd.students.bilstm(vocabulary, 2, embedding_dim=50, trainable_embeddings=False)
        models[name] = student if name == "plain" else taught(student)
        models[name].compile("adam", CROSS_ENTROPY)
        variants[name] = fitting(models[name], batches, len(batches))
    report_training("BiLSTM", measure(variants, len(examples), arguments.rounds))


def train_mlps(arguments, folder):
    """Of several speeds, batches of 128."""
    x, y = make_arrays(20_000)
    examples = tf.data.Dataset.from_tensor_slices((x, y))
    teacher = make_network(256)
    store = kd.TeacherStore.build(examples, teacher, folder, verbose=0)

    def batches(examples):
        return examples.shuffle(20_000, seed=0).batch(128)

    attached = store.attach(examples)
    with_outputs = (x, teacher.predict(x, verbose=0)), y
    datasets = {
        "plain": batches(examples),
        "floor": batches(tf.data.Dataset.from_tensor_slices(with_outputs)),
        "store, to examples": batches(attached),
        "store, to examples, cached": batches(attached.cache()),
        "store, to batches": store.attach(batches(examples)),
    }
    num_steps = len(datasets["plain"])
    kinds = {"plain": lambda student: student, "floor": ByHand}
    for width in (512, 1024):
        variants = {}
        for name, data in datasets.items():
            model = kinds.get(name, taught)(make_network(width))
            model.compile("adam", CROSS_ENTROPY)
            variants[name] = fitting(model, data.prefetch(tf.data.AUTOTUNE), num_steps)
        report_training(f"MLP, {width}", measure(variants, 128 * num_steps, arguments.rounds))


def taught(student, kind=kd.Distiller):
    return kind(student=student, soft_loss=kd.losses.SoftTargetKL(2.0, teacher_from_logits=True))


class ByHand(keras.Model):
    """Teaches a student as little as a distillation can: no checks, no masks, no history."""

    def __init__(self, student):
        super().__init__()
        self.student = student

    def call(self, inputs, training=None):
        return self.student(inputs[0], training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        p = tf.nn.softmax(x[1] / 2.0)
        soft = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(p, y_pred / 2.0))
        return 0.1 * CROSS_ENTROPY(y, y_pred) + 0.9 * 4.0 * soft


def report_training(label, rates):
    plain = rates.pop("plain")
    row(f"{label}, plain, examples a second", plain, 0)
    for name, values in rates.items():
        row(f"{label}, {name} / plain, time", plain / values, 3, "<= 1.03")


class FirstStep(keras.callbacks.Callback):
    """The time from the start of `fit` to the end of its first step."""

    seconds = None

    def on_train_batch_end(self, batch, logs=None):
        if self.seconds is None:
            self.seconds = time.perf_counter() - self.start


class CountedDistiller(kd.Distiller):
    num_traces = 0

    def train_step(self, data):
        # TensorFlow runs this line only when it traces.
        self.num_traces += 1
        return super().train_step(data)


def buckets(arguments):
    lengths = (8, 16, 24, 32, 48, 64)
    teacher, sentences = bert_and_sentences(arguments)
    vocabulary = kd.text.WordPieceVocabulary.from_teacher(teacher.preprocessor.preprocessor)
    with tempfile.TemporaryDirectory() as folder:
        answers = kd.TeacherStore.build(sentences, teacher, folder, verbose=0).attach(sentences)
        batches = kd.text.batch_by_length(answers, vocabulary, bucket_lengths=lengths)
    plain_batches = batches.map(lambda x, y: (x.student, y))
    models = {}
    for name, data in {"plain": plain_batches, "store": batches}.items():
        student = kd.students.bilstm(vocabulary, 2, embedding_dim=50)
        model = student if name == "plain" else taught(student, CountedDistiller)
        model.compile("adam", CROSS_ENTROPY)
        models[name], first = model, FirstStep()
        first.start = time.perf_counter()
        model.fit(data, callbacks=[first], shuffle=False, verbose=0)
        print(f"{name}: first step after {first.seconds:.2f} s")
    print("| from the store | min | median | max |\n|---|---|---|---|")
    for length in lengths:
        of_length = [batch for batch in batches if batch[0].student.shape[1] == length]
        # Without the rest that does not fill a batch.
        size = max(len(y) for _, y in of_length)
        of_length = [batch for batch in of_length if len(batch[1]) == size]
        endless = tf.data.Dataset.from_generator(
            lambda batches=of_length: itertools.cycle(batches),
            output_signature=batches.element_spec,
        )
        run = fitting(models["store"], endless.prefetch(tf.data.AUTOTUNE), num_steps=30)
        rates = measure({"steps": run}, 30, arguments.rounds)["steps"]
        row(f"length {length}, batches of {size}, steps a second", rates, 1)
    print(f"The step was traced {models['store'].num_traces} times.")


def bert_and_sentences(arguments):
    teacher = kd.teachers.text_classifier(
        str(arguments.bert), num_classes=2, sequence_length=PADDED_LENGTH
    )
    texts = kd.text.read_table(arguments.sst2 / "train_sentences.tsv.gz")
    order = np.random.default_rng(0).permutation(len(texts))
    return teacher, texts[order[: arguments.texts]]


def labelling(arguments):
    teacher, examples = bert_and_sentences(arguments)
    preprocessor, classifier = (teacher.get_layer(n) for n in ("preprocessor", "classifier"))
    ids = preprocessor(tf.constant(examples.texts.tolist()))
    padded = keras.tree.map_structure(
        lambda x: np.pad(x, [(0, 0), (0, PADDED_LENGTH - x.shape[1])]), ids
    )

    def build(texts=examples):
        with tempfile.TemporaryDirectory() as path:
            start = time.perf_counter()
            kd.TeacherStore.build(texts, teacher, path, verbose=0)
            return time.perf_counter() - start

    def predict():
        start = time.perf_counter()
        classifier.predict(padded, batch_size=32, verbose=0)
        return time.perf_counter() - start

    variants = {
        "build": build,
        "start": lambda: build(examples[:1]),
        "predict": predict,
        "best": best_time(teacher, examples),
    }
    rates = measure(variants, len(examples), arguments.rounds)
    print("| labelling | min | median | max | goal |\n|---|---|---|---|---|")
    seconds = {name: len(examples) / values for name, values in rates.items()}
    row("start of a build, seconds", seconds.pop("start"), 1)
    for name in seconds:
        row(f"{name}, texts a second", rates[name], 0)
    row("build / predict", rates["build"] / rates["predict"], 2, ">= 2")
    row("build / best", rates["build"] / rates["best"], 3, ">= 0.95")
    labelling = seconds["build"] - len(examples) / rates["start"]
    row("build without its start / best", seconds["best"] / labelling, 3, ">= 0.95")


def best_time(teacher, examples):
    """A function that sums the times of batches in memory, each shape by itself."""
    batches = collections.defaultdict(list)
    for ids, _ in Labeller(teacher, ["output"]).batches(tf.constant(examples.texts.tolist())):
        inputs = keras.tree.map_structure(tf.constant, ids)
        batches[keras.tree.flatten(inputs)[0].shape].append(inputs)
    spec = keras.tree.map_structure(lambda x: tf.TensorSpec([None, None], x.dtype), inputs)
    classifier = teacher.classifier
    infer = tf.function(lambda x: classifier(x, training=False), input_signature=[spec])

    def run():
        seconds = 0.0
        for same_shape in batches.values():
            infer(same_shape[0])
            start = time.perf_counter()
            for batch in same_shape:
                infer(batch)
            seconds += time.perf_counter() - start
        return seconds

    return run


def growth(arguments):
    print("| examples | build, s | us an example | read, us an example | peak MB | store MB |")
    print("|---|---|---|---|---|---|")
    for num_examples in (10**4, 10**5, 10**6):
        command = [sys.executable, __file__, "one_size", "--examples", str(num_examples)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")


def one_size(arguments):
    """Examples are made as they are read, so that they take no memory."""
    num_examples = arguments.examples
    examples = tf.data.Dataset.range(num_examples).map(
        lambda number: tf.random.stateless_normal([16], [number, 0]),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        store = kd.TeacherStore.build(
            examples, make_network(16, input_dim=16), folder, batch_size=1024, verbose=0
        )
        build = time.perf_counter() - start
        start = time.perf_counter()
        for _ in store.attach(examples.batch(128)):
            read = time.perf_counter() - start
        num_bytes = sum(file.stat().st_size for file in pathlib.Path(folder).rglob("*.npy"))
    # Not ru_maxrss, which a child takes over from its parent.
    status = pathlib.Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1e3
    print(
        f"| {num_examples:,} | {build:.1f} | {1e6 * build / num_examples:.0f} | "
        f"{1e6 * read / num_examples:.0f} | {peak:.0f} | {num_bytes / 1e6:.1f} |"
    )


TASKS = {task.__name__: task for task in (training, buckets, labelling, growth, one_size)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=6920)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--bert", type=pathlib.Path)
    parser.add_argument("--sst2", type=pathlib.Path)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    TASKS[arguments.task](arguments)


if __name__ == "__main__":
    main()
