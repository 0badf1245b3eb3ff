"""What all models that learn together have in common: they are Keras models like any other."""

import keras
import linear
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill.teaching import MutualLearning
from keras_distill.teaching import NativeEnsemble
from keras_distill.teaching import RocketLaunching

WAYS = pytest.mark.parametrize("way", linear.WAYS.values(), ids=linear.WAYS.keys())


def compiled(model, loss=linear.CROSS_ENTROPY, **kwargs):
    model.compile(keras.optimizers.Adam(0.01), loss, **kwargs)
    return model


def fit(model, x=linear.X, y=linear.Y, **kwargs):
    return model.fit(x, y, batch_size=4, shuffle=False, verbose=0, **kwargs).history


@pytest.mark.long_but_first
@WAYS
def test_evaluation_is_that_of_each_model(way):
    """A list of metrics is for every output: shared ones would mix the models up."""
    metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)]
    model = compiled(way(), metrics=metrics, run_eagerly=True)
    values = model.evaluate(linear.X, linear.Y, verbose=0, return_dict=True)
    losses = [value for name, value in values.items() if name.endswith("_soft_loss")]
    for name in model.models:
        student = model.student(name)
        student.compile(loss=linear.CROSS_ENTROPY, metrics=["accuracy"], run_eagerly=True)
        loss, accuracy = student.evaluate(linear.X, linear.Y, verbose=0)
        np.testing.assert_allclose(values[f"{name}_loss"], loss, rtol=1e-6)
        np.testing.assert_allclose(values[f"{name}_accuracy"], accuracy, rtol=1e-6)
        assert f"{name}_sparse_top_k_categorical_accuracy" in values
    losses += [values[f"{name}_loss"] for name in model(linear.X)]
    weight = model.weight
    soft = sum(value for name, value in values.items() if name.endswith("_soft_loss"))
    np.testing.assert_allclose(values["loss"], sum(losses) + (weight - 1) * soft, rtol=1e-5)


@WAYS
@pytest.mark.long
def test_saved_and_reloaded_it_goes_on(way, tmp_path):
    """An optimizer that starts anew, layers that are no longer shared, dropout from its start."""
    keras.utils.set_random_seed(3)
    settings = {"metrics": ["accuracy"], "run_eagerly": True}
    whole = compiled(way(dropout=0.2), **settings)
    initial = whole.get_weights()
    expected = fit(whole, epochs=2)
    keras.utils.set_random_seed(3)
    half = compiled(way(dropout=0.2), **settings)
    for values, of_whole in zip(half.get_weights(), initial):
        np.testing.assert_array_equal(values, of_whole)
    fit(half)
    half.save(tmp_path / "half.keras")
    reloaded = keras.models.load_model(tmp_path / "half.keras")
    history = fit(reloaded)
    assert history.keys() == expected.keys()
    for name, values in history.items():
        np.testing.assert_allclose(values, expected[name][1:], rtol=1e-5, err_msg=name)
    for values, of_whole in zip(reloaded.get_weights(), whole.get_weights()):
        np.testing.assert_allclose(values, of_whole, atol=1e-6)
    student = reloaded.student()
    student.save(tmp_path / "student.keras")
    alone = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_array_equal(alone(linear.X), student(linear.X))


@pytest.mark.long
@WAYS
def test_on_two_devices(way, two_devices):
    """Losses that are summed over the devices, and not averaged, would double the step."""
    histories, weights = [], []
    data = tf.data.Dataset.from_tensor_slices((linear.X, linear.Y, linear.WEIGHTS)).batch(4)
    for strategy in (tf.distribute.get_strategy(), two_devices):
        with strategy.scope():
            keras.utils.set_random_seed(4)
            model = way(kernel_regularizer="l2")
            model.compile(
                keras.optimizers.SGD(0.1, momentum=0.9), linear.CROSS_ENTROPY, metrics=["accuracy"]
            )
        histories.append(
            model.fit(data, epochs=2, shuffle=False, verbose=0, validation_data=data).history
        )
        weights.append(model.get_weights())
    for one, two in zip(*weights):
        np.testing.assert_allclose(two, one, atol=1e-6)
    assert histories[0].keys() == histories[1].keys()
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-5, err_msg=name)


@WAYS
@pytest.mark.long
def test_float16(way):
    """Without loss scaling, small gradients of float16 would vanish."""
    keras.utils.set_random_seed(5)
    full = compiled(way(), run_eagerly=True)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = compiled(way(), run_eagerly=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(half.optimizer, keras.optimizers.LossScaleOptimizer)
    half.set_weights(full.get_weights())
    expected = full.evaluate(linear.X, linear.Y, verbose=0, return_dict=True)
    values = half.evaluate(linear.X, linear.Y, verbose=0, return_dict=True)
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value, rtol=0.02, atol=1e-3, err_msg=name)
    assert np.isfinite(fit(half)["loss"]).all()


def taggers():
    for name in ("left", "right"):
        embedding = layers.Embedding(9, 5, mask_zero=True)
        yield keras.Sequential([keras.Input((6,)), embedding, layers.Dense(4)], name=name)


def tagging_ensemble():
    trunk = keras.Sequential([keras.Input((6,)), layers.Embedding(9, 5, mask_zero=True)])
    branches = [keras.Sequential([keras.Input((6, 5)), layers.Dense(4)], name=n) for n in "ab"]
    return NativeEnsemble(trunk=trunk, branches=branches)


# What Keras says of a model inside another, which hands its mask on all the same.
@pytest.mark.long_but_first
@pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning")
@pytest.mark.parametrize("way", [lambda: MutualLearning(list(taggers())), tagging_ensemble])
def test_padding_says_nothing(way):
    """Without the mask, models would agree, or learn labels, where there is no word."""
    rng = np.random.default_rng(1)
    ids, labels = rng.integers(1, 9, (5, 6)), rng.integers(0, 4, (5, 6))
    is_padding = np.arange(6) >= np.array([6, 1, 3, 4, 2])[:, None]
    ids[is_padding] = 0
    model = compiled(way())
    linear.spread(model.models.values(), scale=1.0)
    outputs = model.predict(ids, verbose=0)
    values = model.evaluate(ids, labels, batch_size=5, verbose=0, return_dict=True)
    words = {name: logits.astype("float64")[~is_padding] for name, logits in outputs.items()}
    total = 0.0
    for name, logits in words.items():
        hard = linear.cross_entropy(logits, labels[~is_padding]).mean()
        np.testing.assert_allclose(values[f"{name}_loss"], hard, rtol=1e-5)
        total += hard
    temperature = model.soft_loss.temperature
    for lesson in model.lessons:
        soft = linear.kl(words[lesson.teacher], words[lesson.student], temperature).mean()
        np.testing.assert_allclose(values[f"{lesson.student}_soft_loss"], soft, rtol=1e-5)
        total += soft
    np.testing.assert_allclose(values["loss"], total, rtol=1e-5)


def peer(width=linear.CLASSES, name="peer", **kwargs):
    return linear.stack(6, width, name=name, **kwargs)


def branch(name="branch", **kwargs):
    return linear.stack(linear.FEATURES, linear.CLASSES, name=name, **kwargs)


def trunk(name="trunk"):
    return linear.stack(6, linear.FEATURES, name=name)


SHARED = layers.Dense(4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MutualLearning([peer()]), r"peers must be at least two Keras models.*\['peer'\]"),
        (lambda: MutualLearning([peer(), peer()]), "peers must have names of their own"),
        (lambda: MutualLearning([peer(), peer(3, "other")]), r"all of the same shape.*3\)"),
        (
            lambda: MutualLearning([peer(), keras.Sequential(name="x")]),
            r"keras.Models that are built.*x=<",
        ),
        (lambda: MutualLearning([peer(), lambda x: x]), "must be keras.Models that are built"),
        (lambda: MutualLearning([peer(), peer(name="b")], weight=-1.0), "weight must be"),
        (lambda: MutualLearning([peer(), peer(name="b")], soft_loss="kl"), "soft_loss must be"),
        (
            lambda: MutualLearning(
                [keras.Sequential([keras.Input((6,)), SHARED], name=name) for name in "ab"]
            ),
            "must not hold the same layers",
        ),
        (
            lambda: RocketLaunching(light=branch(), booster=branch(), trunk="trunk"),
            "trunk must be a keras.Model that",
        ),
        (
            lambda: RocketLaunching(light=branch(), booster=branch(), trunk=trunk("branch")),
            "trunk must have another",
        ),
        (lambda: RocketLaunching(light=branch(), booster=None, trunk=trunk()), "booster=None"),
        (
            lambda: NativeEnsemble(trunk=None, branches=[branch(), branch("b")]),
            "trunk must be a keras.Model that",
        ),
        (
            lambda: NativeEnsemble(trunk=trunk(), branches=[branch()]),
            "branches must be at least two",
        ),
        (
            lambda: NativeEnsemble(trunk=trunk(), branches=[branch(), branch("ensemble")]),
            'branches must not be named "ensemble"',
        ),
        (
            lambda: NativeEnsemble(
                trunk=trunk(), branches=[branch(), branch("b", activation="softmax")]
            ),
            "branches must give logits",
        ),
    ],
)
def test_bad_models(build, message):
    """Each would train to something that was not meant, or fail far from its cause."""
    with pytest.raises(ValueError, match=message):
        build()


def test_bad_gates():
    branches = [branch("a"), branch("b")]
    with pytest.raises(ValueError, match=r"gate must give a weight for each of 2 .*\(None, 3\)"):
        NativeEnsemble(trunk=trunk(), branches=branches, gate=layers.Dense(3))
    two = keras.Input((6,))
    split = keras.Model(two, [two, two], name="split")
    with pytest.raises(ValueError, match="The default gate reads a trunk with one output"):
        NativeEnsemble(trunk=split, branches=branches)


def test_no_loss():
    """Peers that learn from one another alone would soon agree, on nothing."""
    with pytest.raises(ValueError, match=r"MutualLearning needs a loss in compile\(\)"):
        linear.mutual_learning().compile("adam")


def test_validation_without_labels():
    """Found at the end of the first epoch, which may be hours."""
    model = linear.mutual_learning()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="MutualLearning needs labels y, one tensor"):
        model.fit(linear.X, linear.Y, validation_data=(linear.X,), verbose=0)
    assert model.optimizer.iterations.numpy() == 0


@pytest.mark.parametrize("y", [None, {"peer_0": linear.Y, "peer_1": linear.Y}])
def test_no_labels(y):
    with pytest.raises(ValueError, match="MutualLearning needs labels y, one tensor"):
        compiled(linear.mutual_learning()).fit(linear.X, y, verbose=0)


def test_no_such_student():
    with pytest.raises(ValueError, match=r"name must be one of \['light', 'booster'\].*'head'"):
        linear.rocket_launching().student("head")


@WAYS
def test_export_is_of_one_student(way, tmp_path):
    """Keras said of these models that they were never called."""
    model = way()
    if isinstance(model, RocketLaunching):
        model.export(str(tmp_path / "served"), verbose=False)
    else:
        first, second = model.models
        text = rf"has several students.*\['{first}', '{second}'\].*model\.student\('{first}'\)"
        with pytest.raises(ValueError, match=text):
            model.export(str(tmp_path / "served"))
        model.student(first).export(str(tmp_path / "served"), verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    expected = model.student()(linear.X, training=False)
    np.testing.assert_allclose(served.serve(linear.X), expected, atol=1e-6)


@WAYS
@pytest.mark.long
def test_a_weight_set_later_counts(way):
    """A compiled step would keep the one before."""
    model = compiled(way())
    fit(model)
    model.weight = 50.0
    history = fit(model)
    soft = sum(values[0] for name, values in history.items() if name.endswith("_soft_loss"))
    assert history["loss"][0] > 50 * soft
    with pytest.raises(ValueError, match="weight must be"):
        model.weight = -1.0
