"""Objectives on input gradients in a Distiller: the mathematics, one pass each, bad input."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import Objective
from keras_distill import losses
from keras_distill.distillation import input_gradients

INPUTS, OUTPUTS, NUM_EXAMPLES = 4, 3, 5
RNG = np.random.default_rng(3)
X = RNG.normal(size=(NUM_EXAMPLES, INPUTS))

# The bias of the last layer, where nothing but the gradients is learnt.
pytestmark = pytest.mark.filterwarnings("ignore:Gradients do not exist for variables")


@pytest.fixture
def double():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def mlp(width, name, num_inputs=INPUTS, num_outputs=OUTPUTS, **kwargs):
    hidden = layers.Dense(width, "tanh", bias_initializer="glorot_normal", name="hidden", **kwargs)
    head = layers.Dense(num_outputs, name="logits")
    return keras.Sequential([keras.Input((num_inputs,)), hidden, head], name=name)


def outputs_of(weights, x):
    kernel, bias, head, head_bias = weights
    return np.tanh(x @ kernel + bias) @ head + head_bias


def jacobian_of(weights, x):
    """d output_c / d x_i, (batch, outputs, inputs), in closed form."""
    kernel, bias, head, _ = weights
    slope = 1 - np.tanh(x @ kernel + bias) ** 2
    return np.einsum("ih,bh,hc->bci", kernel, slope, head)


def sobolev(teacher, student, x, directions):
    difference = np.einsum("bkc,bci->bki", directions, teacher[1] - jacobian_of(student, x))
    return np.mean(np.sum(difference**2, -1))


def jacobian_matching(teacher, student, x, directions):
    best = np.argmax(teacher[0], -1)
    rows = np.arange(len(x))
    units = [
        rows_of / np.sqrt(np.sum(rows_of**2, -1, keepdims=True))
        for rows_of in (teacher[1][rows, best], jacobian_of(student, x)[rows, best])
    ]
    return np.mean(np.sum((units[0] - units[1]) ** 2, -1))


def gradient_norm(teacher, student, x, directions):
    return np.mean(np.sum(np.einsum("bkc,bci->bki", directions, jacobian_of(student, x)) ** 2, -1))


def complex_step(function, weights):
    """The gradient of a real function by each of its arrays, exact but for rounding."""
    gradients = []
    for number, weight in enumerate(weights):
        gradient = np.zeros(weight.shape)
        for index in np.ndindex(*weight.shape):
            moved = [w.astype("complex128") for w in weights]
            moved[number][index] += 1e-30j
            gradient[index] = np.imag(function(moved)) / 1e-30
        gradients.append(gradient)
    return gradients


def distiller_of(loss, student=None, teacher=None, path="output", compile_arguments=None, **kwargs):
    """A compiled Distiller that learns from one objective only, at a learning rate of 1."""
    student = mlp(6, "student") if student is None else student
    teacher = mlp(8, "teacher") if teacher is None else teacher
    objectives = [Objective(loss, teacher_layer=path, student_layer=path, name="gradients")]
    distiller = Distiller(
        student=student, teacher=teacher, alpha=1.0, objectives=objectives, **kwargs
    )
    distiller.compile(keras.optimizers.SGD(1.0), **(compile_arguments or {"run_eagerly": True}))
    return distiller


def fit(distiller, x=X, **kwargs):
    return distiller.fit(x, batch_size=len(X), shuffle=False, verbose=0, **kwargs).history


CASES = [
    (lambda: losses.Sobolev(seed=1, num_projections=2), sobolev),
    (lambda: losses.Sobolev(num_projections=None), sobolev),
    (losses.JacobianMatching, jacobian_matching),
    (lambda: losses.GradientNorm(seed=1), gradient_norm),
]
EAGER, GRAPH, XLA = {"run_eagerly": True}, {"jit_compile": False}, {"jit_compile": True}


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    ("make", "oracle", "compile_arguments"),
    [(*case, EAGER) for case in CASES] + [(*CASES[0], GRAPH), (*CASES[1], XLA)],
)
def test_a_step_follows_the_gradient_of_the_paper(double, make, oracle, compile_arguments):
    """A gradient that is a constant for the training tape, or one of the teacher's weights."""
    distiller = distiller_of(make(), compile_arguments=compile_arguments)
    teacher = distiller.teacher.get_weights()
    before = distiller.student.get_weights()
    taught = outputs_of(teacher, X), jacobian_of(teacher, X)
    directions = np.asarray(make().directions(tf.constant(taught[0])))
    history = fit(distiller)
    expected = complex_step(lambda weights: oracle(taught, weights, X, directions), before)
    value = oracle(taught, before, X, directions)
    np.testing.assert_allclose(history["gradients"], [value], rtol=1e-12)
    np.testing.assert_allclose(history["loss"], [value], rtol=1e-12)
    assert np.linalg.norm(expected[0]) > 1e-3
    for old, new, gradient in zip(before, distiller.student.get_weights(), expected):
        np.testing.assert_allclose(old - new, gradient, atol=1e-12)
    for old, new in zip(teacher, distiller.teacher.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_student_that_is_the_teacher(double):
    """Both get the same directions: others would give a loss here."""
    distiller = distiller_of(losses.Sobolev(), teacher=mlp(6, "teacher"))
    distiller.student.set_weights(distiller.teacher.get_weights())
    assert fit(distiller)["gradients"] == [0]
    for old, new in zip(distiller.teacher.get_weights(), distiller.student.get_weights()):
        np.testing.assert_array_equal(old, new)


class Counting(layers.Layer):
    """Counts its runs, also those of a compiled graph."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.runs = tf.Variable(0, trainable=False)

    def call(self, x):
        self.runs.assign_add(1)
        return x


@pytest.mark.parametrize("compile_arguments", [EAGER, GRAPH])
def test_each_model_runs_once_per_step(compile_arguments):
    """A second pass for the gradients would double the price, and draw another dropout."""
    models = [keras.Sequential([mlp(6, "mlp"), Counting(name="counting")]) for _ in range(2)]
    for model in models:
        model.build((None, INPUTS))
    distiller = distiller_of(losses.Sobolev(2), *models, compile_arguments=compile_arguments)
    x = np.concatenate([X] * 3)
    fit(distiller, x)  # Checks the first batch, too.
    before = [model.layers[-1].runs.numpy() for model in models]
    fit(distiller, x)
    assert [model.layers[-1].runs.numpy() for model in models] == [runs + 3 for runs in before]


def test_other_objectives_have_no_tape(monkeypatch):
    """A tape that nobody asks holds every activation, and slows an eager step."""
    monkeypatch.setattr(input_gradients, "_watched", lambda *_: pytest.fail("There is a tape."))
    fit(distiller_of(losses.FeatureMSE()))
    distiller = distiller_of(losses.Sobolev())
    distiller.predict(X, verbose=0)
    distiller.student.predict(X, verbose=0)
    with pytest.raises(pytest.fail.Exception, match="There is a tape"):
        fit(distiller)


def test_validation_with_the_teacher(double):
    """Its input gradients need a tape where there is no training step."""
    distiller = distiller_of(losses.Sobolev(num_projections=None), validate_with_teacher=True)
    distiller.optimizer.learning_rate = 0.0
    history = fit(distiller, validation_data=(X,))
    np.testing.assert_allclose(history["val_gradients"], history["gradients"], rtol=1e-12)


def test_any_order_of_taps(double):
    """A hidden layer's gradient is that of the layer, and its error does not reach the head."""
    distiller = distiller_of(losses.GradientNorm(None), path="hidden", teacher=mlp(6, "teacher"))
    kernel, bias, *head = distiller.student.get_weights()
    identity = kernel, bias, np.eye(6), np.zeros(6)
    directions = np.broadcast_to(np.eye(6), (NUM_EXAMPLES, 6, 6))
    expected = gradient_norm(None, identity, X, directions)
    np.testing.assert_allclose(fit(distiller)["gradients"], [expected], rtol=1e-12)
    for old, new in zip(head, distiller.student.get_weights()[2:]):
        np.testing.assert_array_equal(old, new)


def pooled_text(width, name, length=6, vocabulary=9):
    """The gradient by each embedding is that of the head over the length."""
    inputs = keras.Input((length,), dtype="int32")
    x = layers.Embedding(vocabulary, INPUTS, name="embedding")(inputs)
    head = mlp(width, "head")
    return keras.Model(inputs, head(layers.GlobalAveragePooling1D()(x)), name=name)


@pytest.mark.parametrize("trainable", [True, False])
def test_gradients_by_embeddings(double, trainable):
    """Token ids have no gradient; a frozen embedding is on no tape by itself."""
    ids = RNG.integers(0, 9, (NUM_EXAMPLES, 6)).astype("int32")
    student, teacher = pooled_text(6, "student"), pooled_text(8, "teacher")
    student.trainable = teacher.trainable = trainable
    student.get_layer("head").trainable = True
    loss = losses.Sobolev(None, teacher_inputs="embedding", student_inputs="embedding")
    distiller = distiller_of(loss, student, teacher)
    jacobians = []
    for model in (teacher, student):
        table, *head = model.get_weights()
        jacobians.append(jacobian_of(head, table[ids].mean(1)) / 6)
    expected = np.mean(np.sum((jacobians[0] - jacobians[1]) ** 2, -1)) * 6
    np.testing.assert_allclose(fit(distiller, ids)["gradients"], [expected], rtol=1e-12)


def test_bytes_by_the_layer_that_scales_them():
    """Images often arrive as uint8, which have no gradient."""
    images = RNG.integers(0, 256, (NUM_EXAMPLES, 2, 2, 1)).astype("uint8")
    student, teacher = (
        keras.Sequential(
            [
                keras.Input((2, 2, 1), dtype="uint8"),
                layers.Rescaling(1 / 255, name="scaled"),
                layers.Flatten(),
                mlp(width, "head"),
            ]
        )
        for width in (6, 8)
    )
    with pytest.raises(ValueError, match=r"by the teacher's inputs, which must be one floating"):
        fit(distiller_of(losses.Sobolev(), student, teacher), images)
    history = fit(
        distiller_of(
            losses.Sobolev(1, seed=0, teacher_inputs="scaled", student_inputs="scaled"),
            student,
            teacher,
        ),
        images,
    )
    assert np.isfinite(history["gradients"]).all()


def test_teacher_is_a_function(double):
    """The gradient of a formula, as in the paper's regressions."""
    student = mlp(6, "student", num_outputs=1)
    distiller = distiller_of(
        losses.Sobolev(), student, lambda x: tf.reduce_sum(x**2, -1, keepdims=True)
    )
    jacobian = jacobian_of(student.get_weights(), X)[:, 0]
    expected = np.mean(np.sum((2 * X - jacobian) ** 2, -1))
    np.testing.assert_allclose(fit(distiller)["gradients"], [expected], rtol=1e-12)


@pytest.mark.long
def test_layers_have_second_derivatives():
    """Batch normalisation, pooling and attention, in a compiled step."""

    def model(name):
        inputs = keras.Input((6, 6, 3))
        x = layers.Conv2D(4, 3, padding="same")(inputs)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.MaxPooling2D()(layers.DepthwiseConv2D(3, padding="same")(x))
        x = layers.LayerNormalization()(layers.Reshape((9, 4))(x))
        x = layers.Dropout(0.1)(layers.MultiHeadAttention(2, 2)(x, x))
        return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)), name=name)

    x = RNG.normal(size=(10, 6, 6, 3)).astype("float32")
    distiller = distiller_of(
        losses.Sobolev(), model("student"), model("teacher"), compile_arguments=GRAPH
    )
    before = distiller.student.get_layer(index=1).get_weights()[0]
    assert np.isfinite(fit(distiller, x)["gradients"]).all()
    after = distiller.student.get_layer(index=1).get_weights()[0]
    assert np.isfinite(after).all()
    assert np.any(before != after)


class TestBadInput:
    def test_carried_outputs(self):
        """A store has no gradients; zeros in their place would flatten the student."""
        outputs = np.zeros((NUM_EXAMPLES, OUTPUTS), "float32")
        x = DistillationInputs(X, teacher_outputs=outputs)
        with pytest.raises(ValueError, match=r"'gradients' needs the teacher's input gradients"):
            fit(distiller_of(losses.Sobolev()), x)
        assert np.isfinite(fit(distiller_of(losses.GradientNorm()), x)["gradients"]).all()

    def test_inputs_of_two_shapes(self):
        """Nothing is resized."""
        models = mlp(6, "student", 5), mlp(8, "teacher", 4)
        x = DistillationInputs(np.ones((NUM_EXAMPLES, 5), "float32"), X)
        with pytest.raises(ValueError, match=r"inputs of one shape") as error:
            fit(distiller_of(losses.Sobolev(), *models), x)
        assert "teacher (None, 1, 4), student (None, 1, 5)" in str(error.value)

    def test_outputs_of_two_shapes(self):
        """Other classes have other gradients."""
        models = mlp(6, "student"), mlp(8, "teacher", num_outputs=2)
        with pytest.raises(ValueError, match=r"'gradients' differentiates outputs of one shape"):
            fit(distiller_of(losses.Sobolev(), *models))

    def test_token_ids(self):
        """The message tells the remedy."""
        ids = np.zeros((NUM_EXAMPLES, 6), "int32")
        models = pooled_text(6, "student"), pooled_text(8, "teacher")
        with pytest.raises(ValueError, match=r"teacher_inputs='embedding'"):
            fit(distiller_of(losses.Sobolev(), *models), ids)
        with pytest.raises(ValueError, match=r"student_inputs='embedding'"):
            fit(distiller_of(losses.Sobolev(teacher_inputs="embedding"), *models), ids)

    def test_no_gradient(self):
        """Zeros in their place would flatten the student."""

        def teacher(x):
            return tf.stop_gradient(x[:, :OUTPUTS])

        with pytest.raises(ValueError, match=r"finds no gradient of the teacher's 'output' by"):
            fit(distiller_of(losses.Sobolev(), teacher=teacher))

    def test_soft_loss(self):
        """There it would get outputs of three axes and take them for gradients."""
        with pytest.raises(ValueError, match=r"soft_loss compares outputs, and Sobolev input"):
            Distiller(student=mlp(6, "student"), soft_loss=losses.Sobolev())

    def test_projector(self):
        """A projector would get the gradients, not the outputs."""
        with pytest.raises(ValueError, match=r"projector must be None: Sobolev compares"):
            Objective(
                losses.Sobolev(), teacher_layer="output", student_layer="output", projector="auto"
            )


def styblinski_tang(x):
    return tf.reduce_mean(x**4 - 16 * x**2 + 5 * x, -1, keepdims=True) / 50


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_few_examples_suffice(seed):
    """The paper's claim: values and slopes at 20 points tell more of a function than values."""
    keras.utils.set_random_seed(seed)
    points = np.random.default_rng(seed).uniform(-5, 5, (20, 2)).astype("float32")
    grid = np.stack(np.meshgrid(*[np.linspace(-5, 5, 41, dtype="float32")] * 2), -1).reshape(-1, 2)
    steps = tf.data.Dataset.from_tensors(DistillationInputs(points)).repeat(600)
    start, errors = None, {}
    for weight in (0.0, 0.1):
        hidden = [layers.Dense(64, "tanh") for _ in range(2)]
        student = keras.Sequential([keras.Input((2,)), *hidden, layers.Dense(1)])
        start = student.get_weights() if start is None else start
        student.set_weights(start)
        distiller = Distiller(
            student=student,
            teacher=styblinski_tang,
            alpha=0.0,
            soft_loss=keras.losses.MeanSquaredError(),
            objectives=[
                Objective(
                    losses.Sobolev(), teacher_layer="output", student_layer="output", weight=weight
                )
            ]
            if weight
            else [],
        )
        distiller.compile(keras.optimizers.Adam(0.01), steps_per_execution=50)
        distiller.fit(steps, shuffle=False, verbose=0)
        difference = student.predict(grid, batch_size=2000, verbose=0) - styblinski_tang(grid)
        errors[weight] = float(tf.reduce_mean(difference**2))
    assert errors[0.1] < 0.9 * errors[0.0]
