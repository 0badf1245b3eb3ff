"""Small models, and float64 formulas, that the tests of online teaching share."""

import keras
import numpy as np
from keras import layers

from keras_distill.teaching import MutualLearning
from keras_distill.teaching import NativeEnsemble
from keras_distill.teaching import RocketLaunching

CLASSES = 4
FEATURES = 5
RNG = np.random.default_rng(8)
X = RNG.normal(size=(12, 6)).astype("float32")
Y = RNG.integers(0, CLASSES, 12)
WEIGHTS = RNG.uniform(0.5, 2.0, 12).astype("float32")
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def stack(*widths, name, dropout=0.0, **kwargs):
    """A stack of linear layers; the first width is that of the input."""
    parts = [keras.Input(widths[:1])]
    if dropout:
        parts.append(layers.Dropout(dropout))
    parts += [layers.Dense(width, **kwargs) for width in widths[1:]]
    return keras.Sequential(parts, name=name)


def mutual_learning(num_peers=2, **kwargs):
    return MutualLearning([stack(6, CLASSES, name=f"peer_{i}", **kwargs) for i in range(num_peers)])


def rocket_launching(**kwargs):
    return RocketLaunching(
        light=stack(FEATURES, CLASSES, name="head", **kwargs),
        booster=stack(FEATURES, 7, CLASSES, name="tower", **kwargs),
        trunk=stack(6, FEATURES, name="trunk", **kwargs),
    )


def native_ensemble(gate=None, **kwargs):
    branches = [stack(FEATURES, CLASSES, name=f"branch_{i}", **kwargs) for i in range(2)]
    return NativeEnsemble(
        trunk=stack(6, FEATURES, name="trunk", **kwargs), branches=branches, gate=gate
    )


def softmax_gate():
    """A gate without batch statistics, which differ between the parts of a batch."""
    return layers.Dense(2, "softmax", dtype="float32", name="shares")


WAYS = {
    "mutual_learning": mutual_learning,
    "rocket_launching": rocket_launching,
    "native_ensemble": lambda **kwargs: native_ensemble(softmax_gate(), **kwargs),
}


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cross_entropy(logits, y):
    return -np.log(softmax(logits)[np.arange(len(y)), y])


def kl(teacher, student, temperature=1.0):
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    return temperature**2 * (p * (np.log(p) - np.log(q))).sum(axis=-1)


def affine(x, model):
    """A stack's output in float64, from its weights."""
    weights = [values.astype("float64") for values in model.get_weights()]
    for kernel, bias in zip(weights[::2], weights[1::2]):
        x = x @ kernel + bias
    return x


def spread(models, scale):
    """Gives models weights of a size at which their outputs differ much."""
    for model in models:
        model.set_weights([RNG.normal(size=w.shape) * scale for w in model.get_weights()])


def step(model, run_eagerly=False, **kwargs):
    """One step of gradient descent: the history, and each gradient by its variable's path."""
    model.compile(keras.optimizers.SGD(1.0), CROSS_ENTROPY, run_eagerly=run_eagerly)
    before = {v.path: v.numpy().astype("float64") for v in model.trainable_variables}
    history = model.fit(X, Y, batch_size=len(X), verbose=0, **kwargs).history
    gradients = {v.path: before[v.path] - v.numpy() for v in model.trainable_variables}
    return {name: values[0] for name, values in history.items()}, gradients
