"""Time of each loss by itself, relative to SoftTargetKL, and how both grow.

    python benchmarks/objectives.py [--rounds 7] [--only NAME ...]

A step is the value and the gradients of the student's activation and of the loss's own trained
parts, in one compiled function. What is measured, for every loss:

    time       milliseconds of a step on batch 64, over that of SoftTargetKL on (64, 100)
    batch x2   the time on twice the batch, over that on the batch
    width x2   the time at twice the width of the features, over that at the width

Losses take turns in every round, so that a slow moment of the machine hits all of them; quoted is
the median over the rounds. The width of an output is its number of classes.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from keras_distill import losses

BATCH, WIDTH, LENGTH, HEADS, NUM_EXAMPLES = 64, 64, 32, 4, 10_000


def outputs(batch, width):
    return [(batch, 100 * width // WIDTH)] * 2


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


# For each loss how it is made, the shapes that it compares, and how its formula says that the time
# grows with the batch and with the width once the arithmetic outweighs all else.
LOSSES = {
    "SoftTargetKL": (lambda width: losses.SoftTargetKL(), outputs, 1, 1),
    "SoftTargetCrossEntropy": (lambda width: losses.SoftTargetCrossEntropy(), outputs, 1, 1),
    "BinarySoftTargets": (lambda width: losses.BinarySoftTargets(), outputs, 1, 1),
    "LogitsMSE": (lambda width: losses.LogitsMSE(), outputs, 1, 1),
    "DKD": (lambda width: losses.DKD(), outputs, 1, 1),
    "DIST": (lambda width: losses.DIST(), outputs, 1, 1),
    "FeatureMSE": (lambda width: losses.FeatureMSE(), maps, 1, 1),
    "FeatureCosine": (lambda width: losses.FeatureCosine(), maps, 1, 1),
    "FSP": (lambda width: losses.FSP(), two_maps, 1, 2),
    "NeuronSelectivity": (lambda width: losses.NeuronSelectivity(), maps, 1, 2),
    "ActivationBoundaries": (lambda width: losses.ActivationBoundaries(), maps, 1, 1),
    "FeatureOverhaul": (lambda width: losses.FeatureOverhaul(-0.5), maps, 1, 1),
    "VariationalInformation": (lambda width: losses.VariationalInformation(), maps, 1, 1),
    "FactorTransfer": (
        lambda width: losses.FactorTransfer(losses.paraphraser(width)),
        maps,
        1,
        2,
    ),
    "KnowledgeReview": (lambda width: losses.KnowledgeReview(), two_maps, 1, 2),
    "MaskedGenerative": (lambda width: losses.MaskedGenerative(), maps, 1, 2),
    "AttentionTransfer": (lambda width: losses.AttentionTransfer(), maps, 1, 1),
    "AttentionMSE": (lambda width: losses.AttentionMSE(), scores, 1, 0),
    "AttentionKL": (lambda width: losses.AttentionKL(), scores, 1, 0),
    "AttentionRelationKL": (lambda width: losses.AttentionRelationKL(), heads, 1, 1),
    "PKD": (lambda width: losses.PKD(), tokens, 1, 1),
    "RKDDistance": (lambda width: losses.RKDDistance(), vectors, 2, 1),
    "RKDAngle": (lambda width: losses.RKDAngle(), vectors, 3, 0),
    "SimilarityPreserving": (lambda width: losses.SimilarityPreserving(), vectors, 2, 1),
    "CorrelationCongruence": (lambda width: losses.CorrelationCongruence(), vectors, 2, 1),
    "ProbabilisticTransfer": (lambda width: losses.ProbabilisticTransfer(), vectors, 2, 1),
    "IRG": (lambda width: losses.IRG(), two_maps, 2, 1),
    "HardDarkRank": (lambda width: losses.HardDarkRank(), vectors, 2, 1),
    "SoftDarkRank": (lambda width: losses.SoftDarkRank(), vectors, 2, 1),
    "CRD": (lambda width: losses.CRD(NUM_EXAMPLES), vectors, 1, 0),
}


def step_of(name, batch, width):
    """A compiled step and its arguments."""
    keras.utils.set_random_seed(0)
    make_loss, shapes_of, *_ = LOSSES[name]
    rng = np.random.default_rng(0)
    teacher, student = keras.tree.map_structure(
        lambda shape: _probabilities(rng, shape) if shapes_of is scores else _features(rng, shape),
        _as_leaves(shapes_of(batch, width)),
    )
    loss = make_loss(width).for_batch(
        labels=tf.constant(rng.integers(0, 100, batch)),
        example_index=tf.constant(rng.permutation(NUM_EXAMPLES)[:batch]),
        training=True,
    )
    loss(teacher, student)  # Builds its layers.

    @tf.function(autograph=False)
    def step(teacher, student):
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = loss(teacher, student)
        return value, tape.gradient(value, [student, tape.watched_variables()])

    step(teacher, student)
    return step, teacher, student


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


def milliseconds(step, teacher, student):
    """Of one step, over as many as take a tenth of a second."""
    start, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < 0.1:
        value, _ = step(teacher, student)
        value.numpy()
        count += 1
    return 1000 * passed / count


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=list(LOSSES))
    arguments = parser.parse_args()
    names = list(dict.fromkeys(["SoftTargetKL", *arguments.only]))
    sizes = {"plain": (BATCH, WIDTH), "batch": (2 * BATCH, WIDTH), "width": (BATCH, 2 * WIDTH)}
    steps = {(n, size): step_of(n, *sizes[size]) for n in names for size in sizes}
    times = {key: [] for key in steps}
    for _ in range(arguments.rounds):
        for key, step in steps.items():
            times[key].append(milliseconds(*step))
    median = {key: float(np.median(found)) for key, found in times.items()}
    floor = median["SoftTargetKL", "plain"]
    print(f"SoftTargetKL: {floor:.3f} ms")
    print("| loss | time | batch x2 | formula | width x2 | formula |")
    print("|---|---|---|---|---|---|")
    for name in names:
        plain, batch, width = (median[name, size] for size in sizes)
        *_, of_batch, of_width = LOSSES[name]
        print(
            f"| {name} | {plain / floor:.1f} | {batch / plain:.1f} | {2**of_batch} "
            f"| {width / plain:.1f} | {2**of_width} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
