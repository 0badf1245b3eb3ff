"""Bad input gets one clear error, before anything is trained."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import Objective
from keras_distill import losses

RNG = np.random.default_rng(4)
FEATURES = RNG.normal(size=(12, 6)).astype("float32")
LABELS = RNG.integers(0, 4, 12)


def mlp(width=5, classes=4, activation=None, name="student"):
    hidden = layers.Dense(width, "relu", name="hidden")
    head = layers.Dense(classes, activation, name="logits")
    return keras.Sequential([keras.Input((6,)), hidden, head], name=name)


def sparse_ce():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def assert_fit_raises(distiller, message, x=FEATURES, y=LABELS, loss=sparse_ce):
    """Raises before a weight has moved."""
    distiller.compile("adam", loss=loss() if loss else None)
    before = distiller.student.get_weights()
    with pytest.raises(ValueError, match=message):
        distiller.fit(x, y, verbose=0, batch_size=4)
    for expected, actual in zip(before, distiller.student.get_weights()):
        np.testing.assert_array_equal(actual, expected)
    assert distiller.optimizer.iterations.numpy() == 0


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan"), float("inf"), "0.5", None, True])
def test_alpha(alpha):
    with pytest.raises(ValueError, match=r"alpha must be a number from 0 to 1.*Received: alpha="):
        Distiller(student=mlp(), teacher=mlp(), alpha=alpha)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf"), "4", True])
def test_temperature(temperature):
    message = r"temperature must be a positive finite number.*Received: temperature="
    with pytest.raises(ValueError, match=message):
        Distiller(student=mlp(), teacher=mlp(), temperature=temperature)


def test_models_have_their_names():
    """Swapped, they would train the teacher, and nothing would say so."""
    with pytest.raises(TypeError, match="by name"):
        Distiller(mlp(), mlp())


def test_class_counts():
    assert_fit_raises(
        Distiller(student=mlp(), teacher=mlp(classes=5)), r"teacher \(4, 5\), student \(4, 4\)"
    )


def test_a_single_class_is_not_broadcast():
    assert_fit_raises(
        Distiller(student=mlp(), teacher=mlp(width=9, classes=1)),
        r"teacher \(4, 1\), student \(4, 4\)",
    )


def test_teacher_of_other_batch_size():
    assert_fit_raises(
        Distiller(student=mlp(), teacher=lambda x: tf.zeros((3, 4))),
        r"'output' must have one entry per example, so 4.*Received: shape \(3, 4\)",
    )


@pytest.mark.parametrize("side", ["teacher_layer", "student_layer"])
def test_unknown_tap(side):
    paths = {"teacher_layer": "hidden", "student_layer": "hidden", side: "hiden"}
    distiller = Distiller(
        student=mlp(), teacher=mlp(), objectives=[Objective(losses.FeatureMSE(), **paths)]
    )
    assert_fit_raises(distiller, r"'hiden' names no layer.*nearest are: \['hidden'")


def test_unknown_tap_of_a_callable():
    objective = Objective(losses.FeatureMSE(), teacher_layer="states[2]", student_layer="hidden")
    teacher = mlp()
    distiller = Distiller(
        student=mlp(), teacher=lambda x: {"output": teacher(x)}, objectives=[objective]
    )
    assert_fit_raises(distiller, r"'states\[2\]' names no output.*'output': '\*'")


def test_unknown_tap_of_carried_outputs():
    objective = Objective(losses.FeatureMSE(), teacher_layer="block_3", student_layer="hidden")
    distiller = Distiller(student=mlp(), objectives=[objective])
    outputs = {"output": np.zeros((12, 4), "float32"), "block_2": FEATURES}
    x = DistillationInputs(FEATURES, teacher_outputs=outputs)
    assert_fit_raises(distiller, r"'block_3' names no output.*block_2", x=x)


def test_width_without_projector():
    objective = Objective(losses.FeatureMSE(), teacher_layer="hidden", student_layer="hidden")
    distiller = Distiller(student=mlp(5), teacher=mlp(8), objectives=[objective])
    assert_fit_raises(distiller, r'\(None, 8\).*\(None, 5\).*projector="auto"')


def test_no_teacher_and_no_outputs():
    assert_fit_raises(
        Distiller(student=mlp()), "no teacher, and the batch carries no teacher_outputs"
    )


@pytest.mark.parametrize("teacher", ["model.keras", 3, FEATURES])
def test_teacher_that_is_none(teacher):
    with pytest.raises(ValueError, match=r"teacher must be a keras.Model, a function"):
        Distiller(student=mlp(), teacher=teacher)


def test_regression_output():
    assert_fit_raises(
        Distiller(student=mlp(classes=1), teacher=mlp(classes=1)),
        "at least two classes.*BinarySoftTargets for a single logit; a regression output",
        loss=keras.losses.MeanSquaredError,
    )


@pytest.mark.parametrize("side", ["teacher", "student"])
def test_output_that_is_no_classification(side):
    models = {"teacher": mlp(), "student": mlp(), side: mlp(activation="relu")}
    message = f"cannot take the {side}'s 'output'.*neither logits nor probabilities"
    assert_fit_raises(Distiller(**models), message)


@pytest.mark.parametrize("dtype", [tf.int32, tf.string, tf.bool])
def test_teacher_outputs_of_wrong_dtype(dtype):
    if dtype == tf.string:
        distiller = Distiller(student=mlp(), teacher=lambda x: tf.fill([tf.shape(x)[0], 4], "a"))
    else:
        distiller = Distiller(student=mlp(), teacher=lambda x: tf.cast(x[:, :4], dtype))
    message = f"'output' must be floating-point.*dtype {dtype.name}.*before the argmax"
    assert_fit_raises(distiller, message)


def test_unbuilt_student():
    with pytest.raises(ValueError, match=r"student 'raw' is not built.*keras.Input"):
        Distiller(student=keras.Sequential([layers.Dense(4)], name="raw"), teacher=mlp())


@pytest.mark.parametrize("student", [None, "student", lambda x: x, layers.Dense(3)])
def test_student_that_is_no_model(student):
    with pytest.raises(ValueError, match=r"student must be a keras.Model"):
        Distiller(student=student, teacher=mlp())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_weight": np.ones(12)}, "sample_weight needs y.*tf.data.Dataset of"),
        ({"class_weight": {0: 2.0}}, "class_weight needs y"),
    ],
)
def test_weights_without_labels(settings, message):
    """Keras drops the weights of examples without a word, and looks for classes in None."""
    distiller = Distiller(student=mlp(), teacher=mlp(), alpha=0.0)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match=message):
        distiller.fit(FEATURES, **settings, verbose=0)
    unlabelled = tf.data.Dataset.from_tensor_slices(FEATURES).batch(4)
    with pytest.raises(ValueError, match=message):
        distiller.fit(unlabelled, **settings, shuffle=False, verbose=0)
    assert distiller.optimizer.iterations.numpy() == 0


@pytest.mark.parametrize(
    ("settings", "loss"),
    [
        ({"validation_data": (FEATURES,)}, "labels"),
        ({"validation_data": FEATURES}, "labels"),
        ({"validation_data": tf.data.Dataset.from_tensor_slices(FEATURES).batch(4)}, "labels"),
        ({"validation_data": (FEATURES, LABELS)}, None),
        ({"validation_split": 0.5}, None),
    ],
    ids=["tuple", "array", "dataset", "nothing compiled", "split"],
)
def test_validation_that_measures_nothing(settings, loss):
    """Found at the end of the first epoch, which may be hours."""
    distiller = Distiller(student=mlp(), teacher=mlp(), alpha=0.0)
    distiller.compile("sgd", loss=sparse_ce() if loss else None)
    with pytest.raises(ValueError, match="Evaluation has nothing to measure"):
        distiller.fit(FEATURES, LABELS, **settings, verbose=0)
    assert distiller.optimizer.iterations.numpy() == 0


def test_not_compiled():
    with pytest.raises(ValueError, match=r"call `compile\(\)`"):
        Distiller(student=mlp(), teacher=mlp()).fit(FEATURES, validation_data=(FEATURES,))


def test_labels_without_a_loss():
    assert_fit_raises(
        Distiller(student=mlp(), teacher=mlp(), alpha=0.2),
        r"labels and alpha is 0\.2, but compile\(\) got no loss.*alpha=0",
        loss=None,
    )


def test_nothing_to_learn_from():
    assert_fit_raises(
        Distiller(student=mlp(), teacher=mlp(), alpha=1.0), "nothing to learn from", y=None
    )


def test_nothing_to_measure():
    distiller = Distiller(student=mlp(), teacher=mlp())
    distiller.compile("adam")
    with pytest.raises(ValueError, match=r"Evaluation has nothing to measure"):
        distiller.evaluate(FEATURES, verbose=0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_teacher_outputs_that_are_not_finite(value):
    outputs = RNG.normal(size=(12, 4)).astype("float32")
    outputs[1, 2] = value
    x = DistillationInputs(FEATURES, teacher_outputs=outputs)
    distiller = Distiller(student=mlp())
    distiller.compile("adam", loss=sparse_ce())
    with pytest.raises(ValueError, match=r"'output' has 1 values that are not finite.*\(1, 2\)"):
        distiller.fit(x, LABELS, batch_size=4, shuffle=False, verbose=0)


def test_hidden_state_that_is_not_finite_is_named():
    hidden = np.full((12, 5), np.nan, "float32")
    outputs = {"output": np.zeros((12, 4), "float32"), "block_3": hidden}
    objective = Objective(losses.FeatureMSE(), teacher_layer="block_3", student_layer="hidden")
    x = DistillationInputs(FEATURES, teacher_outputs=outputs)
    assert_fit_raises(
        Distiller(student=mlp(), objectives=[objective]), "'block_3' has 20 values", x=x
    )


@pytest.mark.parametrize("soft_loss", ["kl", 3, {"output": "kl"}])
def test_soft_loss_of_wrong_type(soft_loss):
    with pytest.raises(ValueError, match=r"soft_loss must be a keras.losses.Loss"):
        Distiller(student=mlp(), teacher=mlp(), soft_loss=soft_loss)


def test_soft_loss_for_an_unknown_output():
    inputs = keras.Input((6,))
    student = keras.Model(inputs, {"first": layers.Dense(4)(inputs)})
    with pytest.raises(ValueError, match=r"does not have: \['frist'\].*\['first'\]"):
        Distiller(student=student, teacher=student.call, soft_loss={"frist": losses.SoftTargetKL()})


@pytest.mark.parametrize("objectives", [losses.FeatureMSE(), ["hint"], None])
def test_objectives_of_wrong_type(objectives):
    with pytest.raises(ValueError, match=r"objectives must be a list of keras_distill.Objective"):
        Distiller(student=mlp(), teacher=mlp(), objectives=objectives)


def test_objectives_of_one_name():
    objectives = [
        Objective(losses.FeatureMSE(), teacher_layer="hidden", student_layer="hidden")
        for _ in range(2)
    ]
    with pytest.raises(ValueError, match=r"name of its own.*\['feature_mse'\]"):
        Distiller(student=mlp(), teacher=mlp(), objectives=objectives)


def test_several_teacher_outputs_for_one():
    teacher = mlp()
    distiller = Distiller(
        student=mlp(), teacher=lambda x: {"pooled": teacher(x), "logits": teacher(x)}
    )
    assert_fit_raises(distiller, r"one output and the teacher several.*\['logits'\]")


def test_data_is_checked_anew_when_its_structure_changes():
    """A second data set that carries bad outputs is not trusted because the first was good."""
    distiller = Distiller(student=mlp(), teacher=mlp())
    distiller.compile("adam", loss=sparse_ce())
    distiller.fit(FEATURES, LABELS, verbose=0)
    x = DistillationInputs(FEATURES, teacher_outputs=np.full((12, 4), np.nan, "float32"))
    with pytest.raises(ValueError, match=r"not finite"):
        distiller.fit(x, LABELS, verbose=0)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (LABELS + 1, r"y must be classes from 0 to 3.*Received: labels from 1 to 4"),
        (LABELS - 1, r"labels such as -1, .*ignore_class=-1"),
        (LABELS + 0.5, r"labels such as \d.5"),
        (np.array(list("abcd"))[LABELS], r"y must be numbers.*dtype str.*return_inverse"),
    ],
    ids=["from_one", "negative", "fractions", "names"],
)
def test_labels_that_are_no_classes(y, message):
    assert_fit_raises(Distiller(student=mlp(), teacher=mlp()), message, y=y)
    data = tf.data.Dataset.from_tensor_slices((FEATURES, y)).batch(12)
    distiller = Distiller(student=mlp(), teacher=mlp())
    distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=message.replace("dtype str", "dtype string")):
        distiller.fit(data, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match=message.replace("y must", "y of validation_data must")):
        distiller.fit(FEATURES, LABELS, validation_data=(FEATURES, y), verbose=0)


def test_labels_of_each_output():
    inputs = keras.Input((6,))
    heads = {"a": layers.Dense(4, name="a")(inputs), "b": layers.Dense(9, name="b")(inputs)}
    for outputs, y in (
        (heads, {"a": LABELS, "b": LABELS + 6}),
        (list(heads.values()), [LABELS, LABELS + 6]),
    ):
        student = keras.Model(inputs, outputs)
        for loss in (
            sparse_ce(),
            keras.tree.map_structure(lambda _: sparse_ce(), outputs),
            {"a": None, "b": sparse_ce()},
        ):
            distiller = Distiller(student=student, teacher=student, alpha=1.0)
            distiller.compile("sgd", loss)
            with pytest.raises(ValueError, match=r"classes from 0 to 8.*such as 9"):
                distiller.fit(FEATURES, y, verbose=0)


def test_labels_on_another_axis_are_left_to_the_loss():
    student = keras.Sequential([keras.Input((3, 4, 5))])
    student.add(layers.EinsumDense("bchw,cd->bdhw", (6, 4, 5)))
    distiller = Distiller(student=student, alpha=1.0)
    distiller.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True, axis=1))
    distiller.check_classes("y", np.full((2, 4, 5), 5))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({0: 1.0, 4: 2.0}, r"class_weight must be of classes from 0 to 3.*Received: \[4\]"),
        ({"a": 1.0}, "class_weight must be a dict"),
        ({0: -1.0}, "class_weight must be a dict"),
        ([1.0, 2.0], "class_weight must be a dict"),
    ],
)
def test_class_weight(weights, message):
    distiller = Distiller(student=mlp(), teacher=mlp())
    distiller.compile("sgd", sparse_ce())
    with pytest.raises(ValueError, match=message):
        distiller.fit(FEATURES, LABELS, class_weight=weights, verbose=0)


def test_a_temperature_beside_a_soft_loss():
    with pytest.raises(ValueError, match=r"a soft_loss has its own.*temperature=8\.0"):
        Distiller(student=mlp(), teacher=mlp(), temperature=8.0, soft_loss=losses.SoftTargetKL(2.0))
    assert Distiller(student=mlp(), teacher=mlp()).temperature == 4.0


@pytest.mark.parametrize("soft_loss", [{}, [], [None], {"a": None}], ids=str)
def test_a_soft_loss_of_nothing(soft_loss):
    with pytest.raises(ValueError, match="a loss for at least one output"):
        Distiller(student=mlp(), teacher=mlp(), soft_loss=soft_loss)
