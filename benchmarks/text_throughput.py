"""Throughput of batches by length, against padding every text to 64 tokens.

    python benchmarks/text_throughput.py BERT GLOVE SST2 [--rounds 5]

On SST-2, the sentences and the phrases of its training set. Teacher: all-MiniLM-L6, a BERT
of 6 layers, from the folder BERT; its inference is measured. Student: a
BiLSTM(150) over GloVe vectors; plain `fit` is measured. All run on the same texts:

    padded        batches of 32 texts, each padded to 64 ids: 2048 ids a batch
    by length     batch_by_length with batches of 2048 ids
    by length 32  batch_by_length with batches of 32 texts

In each round the variants run one after the other, so that a slow moment of the machine
hits all of them; ratios are taken round by round. Prints minimum, median and maximum, and
what the pipeline alone delivers. Takes minutes: 512 texts for the teacher and 2048 for the
student in every measurement.
"""

import argparse
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_distill import students
from keras_distill import teachers
from keras_distill import text

LENGTH, BATCH_SIZE = 64, 32
NUM_TEXTS = {"teacher inference": 512, "student training": 2048}
RATIOS = {"by length / padded": ">= 1.8", "by length 32 / padded": ""}


class EpochTimer(keras.callbacks.Callback):
    """Times the steps alone."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def batches(examples, tokenize):
    """The variants of a data set for one model."""
    ids = keras.tree.map_structure(
        lambda x: np.pad(x, [(0, 0), (0, LENGTH - x.shape[1])]), tokenize(examples.texts)
    )
    padded = tf.data.Dataset.from_tensor_slices((ids, examples.labels))
    padded = padded.shuffle(len(examples), seed=0).batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE)
    return {
        "padded": padded,
        "by length": text.batch_by_length(examples, tokenize),
        "by length 32": text.batch_by_length(examples, tokenize, batch_size=BATCH_SIZE),
    }


def inference(model, data):
    """Returns a function that runs the model on all batches and returns the seconds."""
    infer = tf.function(lambda x: model(x, training=False), input_signature=[data.element_spec[0]])

    def run():
        start = time.perf_counter()
        for x, _ in data:
            infer(x)
            # Not after the loop: TensorFlow may nap for seconds before it frees an iterator.
            end = time.perf_counter()
        return end - start

    return run


def training(model, data):
    model, timer = keras.models.clone_model(model), EpochTimer()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss=loss)

    def run():
        model.fit(data, callbacks=[timer], shuffle=False, verbose=0)
        return timer.seconds

    return run


def feeding(data):
    def run():
        start = time.perf_counter()
        for _ in data:
            end = time.perf_counter()
        return end - start

    return run


def measure(variants, num_texts, num_rounds):
    """Returns texts per second by variant, an array with an entry for each round."""
    for run in variants.values():
        run()
    rates = {name: [] for name in variants}
    for index in range(num_rounds):
        # Each round starts with another variant, so that none always follows the same one.
        first = index % len(variants)
        for name in [*variants][first:] + [*variants][:first]:
            rates[name].append(num_texts / variants[name]())
    return {name: np.array(values) for name, values in rates.items()}


def row(label, values, digits, goal=""):
    figures = [f"{f(values):,.{digits}f}" for f in (np.min, np.median, np.max)]
    print("| " + " | ".join([label, *figures, goal]) + " |", flush=True)


def report(title, rates):
    print(f"\n| {title} | min | median | max | goal |\n|---|---|---|---|---|")
    for name, values in rates.items():
        row(f"{name}, texts a second", values, 0)
    for label, goal in RATIOS.items():
        above, below = label.split(" / ")
        row(label, rates[above] / rates[below], 2, goal)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("bert", type=pathlib.Path)
    parser.add_argument("glove", type=pathlib.Path)
    parser.add_argument("sst2", type=pathlib.Path)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    classifier = teachers.text_classifier(
        str(arguments.bert), num_classes=2, sequence_length=LENGTH
    )
    teacher, pieces = classifier.classifier, classifier.preprocessor
    for name in ("sentences", "phrases"):
        examples = text.read_table(arguments.sst2 / f"train_{name}.tsv.gz")
        words = text.WordVocabulary.learn(examples.texts, 20000, sequence_length=LENGTH)
        vectors = text.load_vectors(arguments.glove, words)
        student = students.bilstm(words, num_classes=2, embeddings=vectors, dropout=0.5)
        cases = {
            "teacher inference": (inference, teacher, pieces),
            "student training": (training, student, words),
        }
        order = np.random.default_rng(0).permutation(len(examples))
        for case, (make_run, model, tokenize) in cases.items():
            chosen = examples[order[: NUM_TEXTS[case]]]
            variants = {
                variant: make_run(model, data)
                for variant, data in batches(chosen, tokenize).items()
            }
            report(f"{name}: {case}", measure(variants, len(chosen), arguments.rounds))
    pipeline = {"pipeline": feeding(text.batch_by_length(examples, words, teacher=pieces))}
    rates = measure(pipeline, len(examples), arguments.rounds)["pipeline"]
    row("the pipeline alone, ids for both, texts a second", rates, 0, ">= 50,000")


if __name__ == "__main__":
    main()
