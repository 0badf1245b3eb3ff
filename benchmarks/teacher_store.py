"""What a TeacherStore costs: training from it, building it, and its growth.

    python benchmarks/teacher_store.py training [--rounds 9]
    python benchmarks/teacher_store.py labelling [--rounds 3] [--shared ../shared]
    python benchmarks/teacher_store.py growth

training: steps of a student that learns from a store, over plain `fit` of the same student on
the same data; the data are read anew in every epoch. labelling: `TeacherStore.build` over
`teacher.predict` on texts padded to 64, and over the teacher's own best time, which is that of
each batch length by itself, timed on a batch in memory; SST-2 sentences, a BERT of 6 layers
from the folder `models` of ../shared. growth: seconds and peak memory of building and reading
stores of 10^4, 10^5 and 10^6 examples, each in a process of its own.

In a round all variants run one after the other. Prints minimum, median and maximum.
"""

import argparse
import collections
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
    """Students of several speeds, batches of 128."""
    arrays = make_arrays(20_000)
    examples = tf.data.Dataset.from_tensor_slices(arrays)
    print(
        "| student from the store / plain fit | min | median | max | goal |\n|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        store = kd.TeacherStore.build(examples, make_network(256), folder, verbose=0)
        batches = examples.shuffle(20_000, seed=0).batch(128)
        for width in (512, 1024, 2048):
            plain, taught = make_network(width), make_network(width)
            plain.compile("adam", CROSS_ENTROPY)
            soft_loss = kd.losses.SoftTargetKL(2.0, teacher_from_logits=True)
            distiller = kd.Distiller(taught, soft_loss=soft_loss)
            distiller.compile("adam", CROSS_ENTROPY)
            num_steps = len(batches)
            stored = store.attach(batches)
            variants = {
                "plain": fitting(plain, batches.prefetch(tf.data.AUTOTUNE), num_steps),
                "store": fitting(distiller, stored.prefetch(tf.data.AUTOTUNE), num_steps),
            }
            rates = measure(variants, 128 * num_steps, arguments.rounds)
            label = f"width {width}, plain {np.median(rates['plain']):,.0f} examples a second"
            row(label, rates["plain"] / rates["store"], 3, "<= 1.03")


def labelling(arguments):
    folder = arguments.shared / "models/minilm_l6_h384"
    teacher = kd.teachers.bert_classifier(str(folder), num_classes=2, sequence_length=PADDED_LENGTH)
    preprocessor, classifier = (teacher.get_layer(n) for n in ("preprocessor", "classifier"))
    sentences = kd.text.read_tsv(arguments.shared / "data/text/sst2/train_sentences.tsv.gz")
    order = np.random.default_rng(0).permutation(len(sentences))
    examples = sentences[order[: arguments.texts]]
    ids = preprocessor(tf.constant(examples.texts.tolist()))
    padded = keras.tree.map_structure(
        lambda x: np.pad(x, [(0, 0), (0, PADDED_LENGTH - x.shape[1])]), ids
    )

    def build():
        with tempfile.TemporaryDirectory() as path:
            start = time.perf_counter()
            kd.TeacherStore.build(examples, teacher, path, verbose=0)
            return time.perf_counter() - start

    def predict():
        start = time.perf_counter()
        classifier.predict(padded, batch_size=32, verbose=0)
        return time.perf_counter() - start

    variants = {
        "build": build,
        "predict": predict,
        "best": best_time(classifier, examples, preprocessor),
    }
    rates = measure(variants, len(examples), arguments.rounds)
    print("| labelling | min | median | max | goal |\n|---|---|---|---|---|")
    for name, values in rates.items():
        row(f"{name}, texts a second", values, 0)
    row("build / predict", rates["build"] / rates["predict"], 2, ">= 2")
    row("build / best", rates["build"] / rates["best"], 3, ">= 0.95")


def best_time(classifier, examples, preprocessor):
    """A function that sums the times of batches in memory, each shape by itself."""
    batches = collections.defaultdict(list)
    by_length = kd.text.batch_by_length(
        kd.text.Examples(examples.texts),
        preprocessor,
        shuffle=False,
        bucket_lengths=(8, 12, 16, 24, 32, 48, 64),
    )
    for batch in by_length:
        batches[keras.tree.flatten(batch)[0].shape].append(batch)
    infer = tf.function(
        lambda x: classifier(x, training=False), input_signature=[by_length.element_spec]
    )

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


TASKS = {"training": training, "labelling": labelling, "growth": growth, "one_size": one_size}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=1024)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--shared", type=pathlib.Path, default="../shared")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    TASKS[arguments.task](arguments)


if __name__ == "__main__":
    main()
