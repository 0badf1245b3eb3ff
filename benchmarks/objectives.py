"""Time and memory of each loss by itself, relative to SoftTargetKL, and how both grow.

    python benchmarks/objectives.py [--rounds 7] [--only NAME ...]

A step is the value and the gradients of the student's activation and of the loss's own trained
parts, in one compiled function. What is measured, for every loss:

    time       of a step on batch 64, over that of SoftTargetKL on (64, 100)
    memory     the most that a step holds beside its inputs and weights, over that of SoftTargetKL
    batch x2   time and memory of a step on twice the batch, over those on the batch
    width x2   the same for twice the width of the features; an output's is its number of classes

Losses take turns in every round, so that a slow moment of the machine hits all of them; quoted is
the median over the rounds. Growth is measured from the size, doubled as often as that takes, at
which a step lasts 20 ms: below it the time is that of starting operations.

The losses between input gradients have no time of their own: they make the models' passes longer.
For them all this is of a whole training step of a Distiller, over the same with SoftTargetKL alone.
Twice the width are layers of twice the channels.
"""

import argparse
import concurrent.futures
import multiprocessing
import os
import time
from collections.abc import Callable
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_distill as kd
from keras_distill import losses

BATCH, WIDTH, LENGTH, HEADS, NUM_EXAMPLES = 64, 64, 32, 4, 10_000
# Milliseconds from which on arithmetic outweighs the starting of operations.
LONG = 20


def num_classes(width):
    return 100 * width // WIDTH


def outputs(batch, width):
    return [(batch, num_classes(width))] * 2


def vectors(batch, width):
    return [(batch, width), (batch, width)]


def maps(batch, width):
    return [(batch, 8, 8, width), (batch, 8, 8, width)]


def two_maps(batch, width):
    return [[(batch, 16, 16, width), (batch, 8, 8, width)]] * 2


def tokens(batch, width):
    return [(batch, LENGTH, width), (batch, LENGTH, width)]


def scores(batch, width):
    """Attention probabilities: they have no width."""
    return [(batch, HEADS, LENGTH, LENGTH)] * 2


def heads(batch, width):
    return [(batch, LENGTH, HEADS, width // HEADS)] * 2


def classes_of_examples(rng, batch, width):
    return rng.integers(0, num_classes(width), batch)


def boxes(rng, batch, width):
    return rng.uniform(size=(batch, 5, 4)).astype("float32")


def targets(rng, batch, width):
    return rng.normal(size=(batch, width)).astype("float32")


def halves(width):
    classes = list(range(num_classes(width)))
    return [classes[: len(classes) // 2], classes[len(classes) // 2 :]]


class Case(NamedTuple):
    """How a loss of a width is made, what it compares, and the powers by which its arithmetic
    grows with the batch and with the width, None without a width."""

    make: Callable
    shapes: Callable
    of_batch: int = 1
    of_width: int | None = 1
    labels: Callable = classes_of_examples


LOSSES = {
    "SoftTargetKL": Case(lambda width: losses.SoftTargetKL(), outputs),
    "SoftTargetKL, standardized": Case(
        lambda width: losses.SoftTargetKL(standardized=True), outputs
    ),
    "BinarySoftTargets": Case(lambda width: losses.BinarySoftTargets(), outputs),
    "LogitsMSE": Case(lambda width: losses.LogitsMSE(), outputs),
    "DKD": Case(lambda width: losses.DKD(), outputs),
    "ClassWeightedSoftTargets": Case(
        lambda width: losses.ClassWeightedSoftTargets([1.0] * num_classes(width)), outputs
    ),
    "SpecialistKL": Case(lambda width: losses.SpecialistKL(halves(width)), outputs),
    "DIST": Case(lambda width: losses.DIST(), outputs),
    "FeatureMSE": Case(lambda width: losses.FeatureMSE(), maps),
    "FeatureCosine": Case(lambda width: losses.FeatureCosine(), maps),
    "FSP": Case(lambda width: losses.FSP(), two_maps, of_width=2),
    "NeuronSelectivity": Case(lambda width: losses.NeuronSelectivity(), maps, of_width=2),
    "ActivationBoundaries": Case(lambda width: losses.ActivationBoundaries(), maps),
    "FeatureOverhaul": Case(lambda width: losses.FeatureOverhaul(-0.5), maps),
    "VariationalInformation": Case(lambda width: losses.VariationalInformation(), maps),
    "FactorTransfer": Case(
        lambda width: losses.FactorTransfer(losses.paraphraser(width)), maps, of_width=2
    ),
    "KnowledgeReview": Case(lambda width: losses.KnowledgeReview(), two_maps, of_width=2),
    "MaskedGenerative": Case(lambda width: losses.MaskedGenerative(), maps, of_width=2),
    "AttentionTransfer": Case(lambda width: losses.AttentionTransfer(), maps),
    "AttentionMSE": Case(lambda width: losses.AttentionMSE(), scores, of_width=None),
    "AttentionKL": Case(lambda width: losses.AttentionKL(), scores, of_width=None),
    "AttentionRelationKL": Case(lambda width: losses.AttentionRelationKL(), heads),
    "PKD": Case(lambda width: losses.PKD(), tokens),
    "RKDDistance": Case(lambda width: losses.RKDDistance(), vectors, of_batch=2),
    "RKDAngle": Case(lambda width: losses.RKDAngle(), vectors, of_batch=3),
    "SimilarityPreserving": Case(lambda width: losses.SimilarityPreserving(), vectors, of_batch=2),
    "CorrelationCongruence": Case(
        lambda width: losses.CorrelationCongruence(), vectors, of_batch=2
    ),
    "ProbabilisticTransfer": Case(
        lambda width: losses.ProbabilisticTransfer(), vectors, of_batch=2
    ),
    "IRG": Case(lambda width: losses.IRG(), two_maps, of_batch=2),
    "HardDarkRank": Case(lambda width: losses.HardDarkRank(), vectors, of_batch=2),
    "SoftDarkRank": Case(lambda width: losses.SoftDarkRank(), vectors, of_batch=2),
    "CRD": Case(lambda width: losses.CRD(NUM_EXAMPLES), vectors, of_width=0),
    "BoundedRegression": Case(lambda width: losses.BoundedRegression(), vectors, labels=targets),
    "RegionMSE": Case(lambda width: losses.RegionMSE(), maps, labels=boxes),
}

# In a training step beside SoftTargetKL; None is the step without.
INPUT_GRADIENT_LOSSES = {
    "SoftTargetKL alone": None,
    "Sobolev": losses.Sobolev,
    "JacobianMatching": losses.JacobianMatching,
    "GradientNorm": losses.GradientNorm,
}


def step_of(name, batch, width):
    """A function that takes a compiled step of one loss."""
    keras.utils.set_random_seed(0)
    case = LOSSES[name]
    rng = np.random.default_rng(0)
    make_tensor = _probabilities if case.shapes is scores else _features
    teacher, student = keras.tree.map_structure(
        lambda shape: make_tensor(rng, shape), _as_leaves(case.shapes(batch, width))
    )
    loss = case.make(width).for_batch(
        labels=tf.constant(case.labels(rng, batch, width)),
        example_index=tf.constant(rng.integers(0, NUM_EXAMPLES, batch)),
        training=True,
    )
    loss(teacher, student)  # Builds its layers.

    @tf.function(autograph=False)
    def step(teacher, student):
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = loss(teacher, student)
        return value, tape.gradient(value, [student, tape.watched_variables()])

    return lambda: step(teacher, student)[0].numpy()


def _as_leaves(shapes):
    """Shapes that Keras's tree functions take for one leaf."""
    if isinstance(shapes, list):
        return [_as_leaves(shape) for shape in shapes]
    return _Shape(shapes)


class _Shape:
    def __init__(self, sizes):
        self.sizes = sizes


def _features(rng, shape):
    return tf.constant(rng.normal(size=shape.sizes), "float32")


def _probabilities(rng, shape):
    return tf.nn.softmax(_features(rng, shape))


def milliseconds(step):
    """Of one step, over as many as take a tenth of a second."""
    start, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < 0.1:
        step()
        count += 1
    return 1000 * passed / count


def peak_bytes(make_step, name, batch, width):
    """The most that a step holds. Only the allocator that `in_own_process` sets counts it."""
    step = make_step(name, batch, width)
    step()
    tf.config.experimental.reset_memory_stats("CPU:0")
    before = tf.config.experimental.get_memory_info("CPU:0")["current"]
    step()
    return tf.config.experimental.get_memory_info("CPU:0")["peak"] - before


def in_own_process():
    """Runs functions in a process whose allocator counts; times are taken without it."""
    os.environ["TF_CPU_ALLOCATOR_USE_BFC"] = "1"
    spawn = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn)


def large_size(make_step, name, axis):
    """The batch and width from which growth along an axis is measured."""
    size = [BATCH, WIDTH]
    while True:
        step = make_step(name, *size)
        step()
        if milliseconds(step) > LONG:
            return tuple(size)
        size[axis] *= 2


def medians(steps, rounds):
    """Milliseconds of each step, by its key; all take turns."""
    for step in steps.values():
        step()
    found = [{key: milliseconds(step) for key, step in steps.items()} for _ in range(rounds)]
    return {key: float(np.median([times[key] for times in found])) for key in steps}


def growth(make_step, name, axis, power, rounds, memory):
    """What doubling the batch (axis 0) or the width (axis 1) does to time and memory."""
    if power is None:
        return " | | "
    small = large_size(make_step, name, axis)
    large = tuple(2 * size if i == axis else size for i, size in enumerate(small))
    times = medians({size: make_step(name, *size) for size in (small, large)}, rounds)
    held = [memory.submit(peak_bytes, make_step, name, *size).result() for size in (small, large)]
    return f"{times[large] / times[small]:.1f} | {held[1] / held[0]:.1f} | {2**power}"


def training_step(name, batch, width):
    """A step of a Distiller over two small networks of images, on one batch."""
    keras.utils.set_random_seed(0)
    loss = INPUT_GRADIENT_LOSSES[name]
    teacher = kd.students.plain_cnn((32, 32, 3), 10, num_layers=4, filters=width // 2)
    student = kd.students.plain_cnn((32, 32, 3), 10, num_layers=2, filters=width // 4)
    objectives = (
        []
        if loss is None
        else [kd.Objective(loss(), teacher_layer="output", student_layer="output")]
    )
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.5, objectives=objectives)
    distiller.compile(
        keras.optimizers.Adam(), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(batch, 32, 32, 3)).astype("float32")
    labels = rng.integers(0, 10, batch)
    return lambda: distiller.train_on_batch(images, labels)


def print_table(make_step, powers, rounds, memory):
    """Rows in units of the first; `powers` has each one's growth with the batch and the width."""
    times = medians({name: make_step(name, BATCH, WIDTH) for name in powers}, rounds)
    held = {
        name: memory.submit(peak_bytes, make_step, name, BATCH, WIDTH).result() for name in powers
    }
    unit = next(iter(powers))
    print(f"{unit}: {times[unit]:.3f} ms, {held[unit] / 1e3:.0f} kB")
    print(
        "| loss | time | memory | batch x2: time | memory | formula | width x2: time |"
        " memory | formula |"
    )
    print("|" + "---|" * 9)
    for name in powers:
        grown = [
            growth(make_step, name, axis, power, rounds, memory)
            for axis, power in enumerate(powers[name])
        ]
        of_unit = f"{times[name] / times[unit]:.1f} | {held[name] / held[unit]:.1f}"
        print(f"| {name} | {of_unit} | {' | '.join(grown)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=[*LOSSES, *INPUT_GRADIENT_LOSSES])
    arguments = parser.parse_args()
    powers = {
        name: (case.of_batch, case.of_width)
        for name, case in LOSSES.items()
        if name in ("SoftTargetKL", *arguments.only)
    }
    of_gradients = dict.fromkeys(INPUT_GRADIENT_LOSSES, (1, 2))
    with in_own_process() as memory:
        if len(powers) > 1:
            print_table(step_of, powers, arguments.rounds, memory)
        if set(of_gradients).intersection(arguments.only):
            print_table(training_step, of_gradients, arguments.rounds, memory)


if __name__ == "__main__":
    main()
