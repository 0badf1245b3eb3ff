"""Every loss between hidden layers or outputs, in a small Distiller of its own."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import Objective
from keras_distill import losses

CLASSES = 4
NUM_EXAMPLES = 8
LENGTH = 6


class Case(NamedTuple):
    """A loss, what it taps, and where.

    Args:
        loss: Makes the loss.
        teacher: Path or paths of the teacher's taps; None for a soft loss.
        student: Path or paths of the student's, or None for the teacher's.
        model: Makes a model of a width: `images` or `texts`.
        projector: Makes the Objective's projector, or "auto", or None.
        labels: Shape of an example's labels that come with the inputs, for the objective.
        is_random: Whether two replicas that see the same examples draw other numbers.
    """

    loss: Callable
    teacher: str | list | None = "block_2"
    student: str | list | None = None
    model: Callable = None
    projector: Callable | str | None = None
    is_random: bool = False
    labels: tuple = ()


def images(width, name):
    """Maps of 8x8 and 4x4; "block_1" is 6 wide in every model, "block_2" has the width."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="block_1")(inputs)
    x = layers.Conv2D(width, 3, 2, padding="same", name="block_2")(x)
    x = layers.ReLU(name="relu_2")(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    return keras.Model(inputs, layers.Dense(CLASSES, name="logits")(x), name=name)


def texts(width, name):
    """Two heads of attention over ids, of which 0 is padding."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    embedding = layers.Embedding(9, width, mask_zero=True, name="embedding")
    attention = layers.MultiHeadAttention(2, width // 2, name="attention")
    x = embedding(inputs)
    x = layers.LayerNormalization(name="hidden")(x + attention(x, x))
    x = layers.GlobalAveragePooling1D(name="pooled")(x)
    return keras.Model(inputs, layers.Dense(CLASSES, name="logits")(x), name=name)


def images_of_width_6(_, name):
    return images(6, name)


def connector():
    """That of activation boundaries and overhauled features."""
    return keras.Sequential([layers.Conv2D(8, 1, use_bias=False), layers.BatchNormalization()])


CASES = {
    "CRD": Case(
        lambda: losses.CRD(NUM_EXAMPLES, feature_dim=5, num_negatives=6), "pooled", is_random=True
    ),
    "CorrelationCongruence": Case(losses.CorrelationCongruence),
    "IRG": Case(losses.IRG, ["block_1", "block_2", "output"]),
    "ProbabilisticTransfer": Case(losses.ProbabilisticTransfer),
    "RKDAngle": Case(losses.RKDAngle, "hidden", model=texts),
    "RKDDistance": Case(losses.RKDDistance, "hidden", model=texts),
    "SimilarityPreserving": Case(losses.SimilarityPreserving),
    "AttentionKL": Case(losses.AttentionKL, "attention/attention_scores", model=texts),
    "AttentionMSE": Case(losses.AttentionMSE, "attention/attention_scores", model=texts),
    "AttentionRelationKL": Case(losses.AttentionRelationKL, "attention/value", model=texts),
    "AttentionTransfer": Case(losses.AttentionTransfer, "relu_2"),
    "PKD": Case(losses.PKD, "hidden", model=texts, projector="auto"),
    "FeatureMSE": Case(losses.FeatureMSE, projector="auto"),
    "FeatureCosine": Case(losses.FeatureCosine, "hidden", model=texts, projector="auto"),
    "FSP": Case(losses.FSP, ["block_1", "block_2"], model=images_of_width_6),
    "NeuronSelectivity": Case(losses.NeuronSelectivity),
    "ActivationBoundaries": Case(losses.ActivationBoundaries, projector=connector),
    "FeatureOverhaul": Case(lambda: losses.FeatureOverhaul(-0.5), projector=connector),
    "SoftTargetKL": Case(losses.SoftTargetKL, None),
    "BinarySoftTargets": Case(losses.BinarySoftTargets, None),
    "LogitsMSE": Case(losses.LogitsMSE, None),
    "SpecialistKL": Case(lambda: losses.SpecialistKL([[0, 1], [3, 2]]), None),
    "VariationalInformation": Case(losses.VariationalInformation, projector="auto"),
    "FactorTransfer": Case(lambda: losses.FactorTransfer(losses.paraphraser(8))),
    "KnowledgeReview": Case(
        losses.KnowledgeReview, ["block_1", "block_2", "pooled"], ["block_1", "relu_2", "pooled"]
    ),
    "MaskedGenerative": Case(losses.MaskedGenerative, projector="auto", is_random=True),
    "MaskedGenerative of channels": Case(
        lambda: losses.MaskedGenerative(masked="channels"), projector="auto", is_random=True
    ),
    "BoundedRegression": Case(losses.BoundedRegression, "output", labels=(CLASSES,)),
    "ClassWeightedSoftTargets": Case(lambda: losses.ClassWeightedSoftTargets([1.5, 1, 1, 1]), None),
    "RegionMSE": Case(losses.RegionMSE, projector="auto", labels=(5, 4)),
    "DIST": Case(losses.DIST, None),
    "DKD": Case(losses.DKD, None),
    "HardDarkRank": Case(losses.HardDarkRank, "pooled"),
    "SoftDarkRank": Case(losses.SoftDarkRank, "pooled"),
    "Sobolev": Case(losses.Sobolev, "output", is_random=True),
    "JacobianMatching": Case(losses.JacobianMatching, "output"),
    "GradientNorm": Case(
        lambda: losses.GradientNorm(student_inputs="embedding"),
        "output",
        model=texts,
        is_random=True,
    ),
}


def teacher_of(case):
    return (case.model or images)(8, "teacher")


def distiller_of(case, **compile_arguments):
    """A compiled Distiller that has the loss."""
    keras.utils.set_random_seed(0)
    student, teacher = (case.model or images)(4, "student"), teacher_of(case)
    settings = {"soft_loss": case.loss()}
    if case.teacher is not None:
        is_maker = callable(case.projector)
        objective = Objective(
            case.loss(),
            teacher_layer=case.teacher,
            student_layer=case.student or case.teacher,
            projector=case.projector() if is_maker else case.projector,
        )
        settings = {"objectives": [objective]}
    distiller = Distiller(student=student, teacher=teacher, alpha=0.5, **settings)
    distiller.compile(
        # Adam adds up the gradients of an embedding differently on two devices.
        keras.optimizers.SGD(0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        **compile_arguments,
    )
    return distiller


def examples_of(case):
    """x, y and the numbers of the examples; no text has more padding than half of it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(NUM_EXAMPLES, 8, 8, 3)).astype("float32")
    if case.model is texts:
        x = rng.integers(1, 9, (NUM_EXAMPLES, LENGTH)).astype("int32")
        x[::2, LENGTH // 2 :] = 0
    y = rng.integers(0, CLASSES, NUM_EXAMPLES)
    inputs = DistillationInputs(x, example_index=np.arange(NUM_EXAMPLES, dtype="int64"))
    if case.labels:
        labels = rng.uniform(size=(NUM_EXAMPLES, *case.labels)).astype("float32")
        inputs = inputs._replace(labels=labels)
    return inputs, y
