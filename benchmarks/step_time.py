"""Time of a training step, against the built-in Distiller and against its floor.

    python benchmarks/step_time.py [--rounds 9]

In each round every variant trains the same number of steps on the same data, one after
the other, so that a slow moment of the machine hits all of them; ratios are taken round
by round. Prints minimum, median and maximum. About four minutes on two cores.

    S    plain fit of the student
    T    the teacher's inference: a compiled loop over the same batches
    P    keras.distillation, LogitsDistillation(loss="KLDivergence")
    D    ours, soft targets
    PF   P with one FeatureDistillation
    DF   ours with one feature objective
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_distill as kd

RATIOS = {
    "D / P": (["D"], ["P"], 1.03),
    "D / (S + T)": (["D"], ["S", "T"], 1.05),
    "DF / PF": (["DF"], ["PF"], 0.88),
}


def mlp():
    def model(width, depth):
        hidden = [layers.Dense(width, "relu") for _ in range(depth)]
        feature = layers.Dense(128, "relu", name="feature")
        return keras.Sequential([keras.Input((784,)), *hidden, feature, layers.Dense(10)])

    x = np.random.default_rng(0).normal(size=(2048, 784)).astype("float32")
    return model(1024, 3), model(512, 2), x, 10


def cnn():
    def model(width, depth):
        stack = []
        for _ in range(depth):
            convolution = layers.Conv2D(width, 3, padding="same", use_bias=False)
            stack += [convolution, layers.BatchNormalization(), layers.ReLU()]
        feature = layers.Conv2D(32, 3, strides=2, padding="same", name="feature")
        head = [layers.GlobalAveragePooling2D(), layers.Dense(10)]
        return keras.Sequential([keras.Input((32, 32, 3)), *stack, feature, *head])

    x = np.random.default_rng(0).normal(size=(1024, 32, 32, 3)).astype("float32")
    return model(48, 3), model(24, 2), x, 10


def transformer_to_bilstm():
    ids = keras.Input((32,), dtype="int32")
    hidden = layers.Embedding(5000, 256)(ids)
    for _ in range(2):
        attended = layers.MultiHeadAttention(4, 64)(hidden, hidden)
        hidden = layers.LayerNormalization()(hidden + attended)
        expanded = layers.Dense(1024, "gelu")(hidden)
        hidden = layers.LayerNormalization()(hidden + layers.Dense(256)(expanded))
    feature = layers.Dense(128, name="feature")(layers.GlobalAveragePooling1D()(hidden))
    teacher = keras.Model(ids, layers.Dense(150)(feature))

    ids = keras.Input((32,), dtype="int32")
    words = layers.Embedding(5000, 64)(ids)
    feature = layers.Bidirectional(layers.LSTM(64), name="feature")(words)
    student = keras.Model(ids, layers.Dense(150)(feature))
    x = np.random.default_rng(0).integers(1, 5000, (1024, 32)).astype("int32")
    return teacher, student, x, 150


# Steps for each measurement, so that it takes about a second.
CASES = {mlp: 150, cnn: 30, transformer_to_bilstm: 30}


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-4), loss=loss)
    return model


def builtin(teacher, student, with_feature):
    distillation_losses = [keras.distillation.LogitsDistillation(4.0, loss="KLDivergence")]
    if with_feature:
        feature = keras.distillation.FeatureDistillation("mse", "feature", "feature")
        distillation_losses.append(feature)
    # A copy: the built-in Distiller leaves `trainable = False` on the teacher it gets.
    teacher = keras.models.clone_model(teacher)
    return keras.distillation.Distiller(teacher, student, distillation_losses)


def ours(teacher, student, with_feature):
    objectives = []
    if with_feature:
        objectives = [
            kd.Objective(kd.losses.FeatureMSE(), teacher_layer="feature", student_layer="feature")
        ]
    return kd.Distiller(student=student, teacher=teacher, alpha=0.5, objectives=objectives)


class EpochTimer(keras.callbacks.Callback):
    """Times the steps alone: when fit returns, TensorFlow may wait up to seconds, in
    doubling naps, to free an iterator of an endless data set."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def training(model, dataset, num_steps):
    """Returns a function that trains a few steps and returns the seconds they took."""
    model, timer = compiled(model), EpochTimer()

    def run():
        args = {"steps_per_epoch": num_steps, "shuffle": False, "verbose": 0}
        model.fit(dataset, callbacks=[timer], **args)
        return timer.seconds

    return run


def inference(teacher, dataset, num_steps):
    """Returns a function that runs the teacher on as many batches, likewise timed."""
    infer = tf.function(lambda x: teacher(x, training=False))

    def run():
        batches = iter(dataset)
        start = time.perf_counter()
        for _ in range(num_steps):
            x, _ = next(batches)
            infer(x).numpy()
        return time.perf_counter() - start

    return run


def measure(make_case, num_rounds, num_steps):
    """Returns milliseconds per step by variant, an array with an entry for each round."""
    keras.utils.set_random_seed(0)
    teacher, student, x, num_classes = make_case()
    y = np.random.default_rng(1).integers(0, num_classes, len(x))
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(64).cache().repeat().prefetch(2)

    def copy():
        return keras.models.clone_model(student)

    variants = {
        "S": training(copy(), dataset, num_steps),
        "T": inference(teacher, dataset, num_steps),
        "P": training(builtin(teacher, copy(), False), dataset, num_steps),
        "D": training(ours(teacher, copy(), False), dataset, num_steps),
        "PF": training(builtin(teacher, copy(), True), dataset, num_steps),
        "DF": training(ours(teacher, copy(), True), dataset, num_steps),
    }
    for run in variants.values():
        run()
    times = {name: [] for name in variants}
    for index in range(num_rounds):
        # Each round starts with another variant, so that none always follows the same one.
        names = list(variants)[index % len(variants) :] + list(variants)[: index % len(variants)]
        for name in names:
            times[name].append(1000 * variants[name]() / num_steps)
    return {name: np.array(values) for name, values in times.items()}


def row(label, values, digits, goal=""):
    figures = [f"{f(values):.{digits}f}" for f in (np.min, np.median, np.max)]
    return [label, *figures, goal]


def rows(times):
    yield from (row(f"{name}, ms a step", values, 2) for name, values in times.items())
    for label, (above, below, goal) in RATIOS.items():
        ratio = sum(times[name] for name in above) / sum(times[name] for name in below)
        yield row(label, ratio, 3, f"<= {goal}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    for make_case, num_steps in CASES.items():
        print(f"\n| {make_case.__name__} | min | median | max | goal |\n|---|---|---|---|---|")
        for cells in rows(measure(make_case, arguments.rounds, num_steps)):
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
