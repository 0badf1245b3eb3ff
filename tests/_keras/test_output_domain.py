"""Logits or probabilities: known from the last layer, checked on real values."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_distill._keras.output_domain import check_values
from keras_distill._keras.output_domain import from_logits
from keras_distill._keras.output_domain import output_domains
from keras_distill.losses import BinarySoftTargets
from keras_distill.losses import LogitsMSE
from keras_distill.losses import SoftTargetKL

layers = keras.layers
ops = keras.ops


def domains(outputs_of, shape=(4,)):
    inputs = keras.Input(shape)
    return output_domains(keras.Model(inputs, outputs_of(inputs)))


def tokens(x):
    """(batch, 4) as (batch, 2, 2)."""
    return layers.Reshape((2, 2))(x)


class Custom(layers.Layer):
    def call(self, inputs):
        return 2 * inputs

    def compute_output_shape(self, input_shape):
        return input_shape


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, activation="softmax")

    def call(self, inputs):
        return self.dense(inputs)


@pytest.mark.parametrize(
    ("domain", "outputs_of"),
    [
        ("logits", lambda x: layers.Dense(3)(x)),
        ("logits", lambda x: layers.Dense(3, activation="linear")(x)),
        ("logits", lambda x: layers.Dense(3, activation="log_softmax")(x)),
        ("logits", lambda x: layers.EinsumDense("ab,bc->ac", 3)(x)),
        ("logits", lambda x: layers.Conv1D(3, 1)(tokens(x))),
        ("logits", lambda x: ops.log_softmax(x)),
        ("softmax", lambda x: layers.Dense(3, activation="softmax")(x)),
        ("softmax", lambda x: layers.Softmax()(layers.Dense(3)(x))),
        ("softmax", lambda x: layers.Activation("softmax")(layers.Dense(3)(x))),
        ("softmax", lambda x: layers.Conv1D(3, 1, activation="softmax")(tokens(x))),
        ("softmax", lambda x: ops.softmax(layers.Dense(3)(x))),
        ("softmax", lambda x: keras.activations.softmax(layers.Dense(3)(x))),
        ("sigmoid", lambda x: layers.Dense(3, activation="sigmoid")(x)),
        ("sigmoid", lambda x: layers.Activation("sigmoid")(layers.Dense(3)(x))),
        ("sigmoid", lambda x: ops.sigmoid(layers.Dense(3)(x))),
        ("other", lambda x: layers.Dense(3, activation="relu")(x)),
        ("other", lambda x: layers.Dense(3, activation="tanh")(x)),
        ("other", lambda x: layers.Activation("gelu")(x)),
        (None, lambda x: Custom()(x)),
        (None, lambda x: layers.Add()([x, x])),
        (None, lambda x: layers.BatchNormalization()(x)),
        (None, lambda x: layers.Dense(3, activation=lambda z: z / 2)(x)),
        # A cell's activation is not that of the output.
        (None, lambda x: layers.SimpleRNN(3, activation="softmax")(tokens(x))),
    ],
)
def test_last_layer(domain, outputs_of):
    """A softmax taken for logits is softened twice: an almost uniform teacher."""
    assert domains(outputs_of) == [domain]


def test_input_that_is_an_output():
    """Nothing is known of an input."""
    assert domains(lambda x: [x, layers.Dense(3)(x)]) == [None, "logits"]


@pytest.mark.parametrize("domain", ["logits", "softmax", "sigmoid", "other"])
@pytest.mark.parametrize(
    "behind",
    [
        lambda x: layers.Dropout(0.1)(x),
        lambda x: layers.Identity()(x),
        lambda x: layers.Activation("linear")(x),
        lambda x: layers.Permute((1, 2))(x),
        lambda x: layers.Reshape((2, 1, 2))(layers.Dropout(0.1)(x)),
        lambda x: layers.Flatten()(layers.Identity()(x)),
    ],
    ids=["dropout", "identity", "linear", "permute", "reshape", "flatten"],
)
def test_layers_that_hand_on_what_they_get(behind, domain):
    """The activation is one or two layers further in."""
    activation = {"logits": None, "other": "relu"}.get(domain, domain)
    dense = layers.Dense(2, activation=activation)
    assert domains(lambda x: behind(dense(tokens(x)))) == [domain]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_time_distributed(activation):
    """The inner layer's activation counts."""
    inner = layers.Dense(3, activation=activation)
    assert domains(lambda x: layers.TimeDistributed(inner)(tokens(x))) == [activation]
    assert domains(lambda x: layers.TimeDistributed(layers.Dense(3))(tokens(x))) == ["logits"]
    assert domains(lambda x: layers.TimeDistributed(Custom())(tokens(x))) == [None]


class TestNestedModels:
    def test_sequential_inside_functional(self):
        """As many levels as there are."""
        inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
        outer = keras.Sequential([keras.Input((4,)), inner, layers.Dropout(0.1)])
        assert output_domains(outer) == ["softmax"]
        assert domains(outer) == ["softmax"]

    def test_one_of_several_outputs(self):
        """The nested model's own output, not always its first."""
        inputs = keras.Input((4,))
        inner = keras.Model(
            inputs,
            {"b": layers.Dense(3)(inputs), "a": layers.Dense(3, activation="sigmoid")(inputs)},
        )
        outputs = inner(inputs)
        assert output_domains(keras.Model(inputs, outputs["a"])) == ["sigmoid"]
        assert output_domains(keras.Model(inputs, outputs["b"])) == ["logits"]

    def test_subclassed_inside_functional(self):
        """Its layers are in no graph."""
        assert domains(Subclassed()) == [None]


class TestSeveralOutputs:
    def test_dict_in_flattened_order(self):
        """Keras sorts the keys: the domains must follow."""
        model_outputs = lambda x: {  # noqa: E731
            "z": layers.Dense(3)(x),
            "a": layers.Dense(3, activation="softmax")(x),
            "m": layers.Dense(3, activation="sigmoid")(x),
        }
        assert domains(model_outputs) == ["softmax", "sigmoid", "logits"]

    def test_list(self):
        """In its order."""
        assert domains(
            lambda x: [layers.Dense(3)(x), layers.Dense(3, activation="softmax")(x)]
        ) == ["logits", "softmax"]

    def test_layer_that_is_used_twice(self):
        """A shared Dropout hands on another tensor each time, and not always the first's."""
        dropout = layers.Dropout(0.1)
        outputs_of = lambda x: [  # noqa: E731
            dropout(layers.Dense(3)(x)),
            dropout(layers.Dense(3, activation="softmax")(x)),
        ]
        assert domains(outputs_of) == ["logits", "softmax"]


@pytest.mark.parametrize(("activation", "domain"), [(None, "logits"), ("softmax", "softmax")])
def test_keras_hub_classifier(activation, domain):
    """The usual teacher: its logits layer may have an activation."""
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=50,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=16,
    )
    classifier = keras_hub.models.BertTextClassifier(
        backbone, num_classes=3, activation=activation, preprocessor=None
    )
    assert output_domains(classifier) == [domain]


def test_nothing_to_read():
    """Functions, subclassed and unbuilt models: None, so that the values decide."""
    subclassed = Subclassed()
    subclassed(np.zeros((1, 4), "float32"))
    unbuilt = keras.Sequential([layers.Dense(3)])
    for teacher in (None, lambda x: x, subclassed, unbuilt, "a model"):
        assert output_domains(teacher) is None


every_side = pytest.mark.parametrize("side", ["teacher", "student"])


class TestFromLogits:
    @every_side
    @pytest.mark.parametrize(
        ("loss_class", "domain", "expected"),
        [
            (SoftTargetKL, None, True),
            (SoftTargetKL, "logits", True),
            (SoftTargetKL, "softmax", False),
            (BinarySoftTargets, None, True),
            (BinarySoftTargets, "logits", True),
            (BinarySoftTargets, "sigmoid", False),
            (LogitsMSE, None, True),
            (LogitsMSE, "logits", True),
        ],
    )
    def test_domains_that_fit(self, loss_class, domain, expected, side):
        """The loss undoes only its own activation."""
        assert from_logits(loss_class(), side, "output", domain) is expected

    @every_side
    @pytest.mark.parametrize(
        ("loss_class", "domain", "remedy"),
        [
            (SoftTargetKL, "sigmoid", "ends in a sigmoid. BinarySoftTargets can undo it"),
            (BinarySoftTargets, "softmax", "ends in a softmax. SoftTargetKL can undo it"),
            (LogitsMSE, "softmax", "SoftTargetKL can undo it"),
            (LogitsMSE, "sigmoid", "BinarySoftTargets can undo it"),
            (SoftTargetKL, "other", "use soft_loss=keras.losses.MeanSquaredError()"),
            (LogitsMSE, "other", "neither logits nor probabilities"),
        ],
    )
    def test_domains_that_do_not_fit(self, loss_class, domain, remedy, side):
        """Each with what to do instead."""
        with pytest.raises(ValueError, match="cannot take") as error:
            from_logits(loss_class(), side, "output[a]", domain)
        message = str(error.value)
        assert message.startswith(f"soft_loss {loss_class.__name__} cannot take the {side}'s")
        assert "'output[a]'" in message
        assert remedy in message
        assert message.endswith(f"declare {side}_from_logits in the loss.")

    @every_side
    @pytest.mark.parametrize("declared", [True, False])
    @pytest.mark.parametrize("domain", [None, "logits", "softmax", "sigmoid", "other"])
    def test_declaration_goes_before_the_layer(self, domain, declared, side):
        """The user knows a layer that misleads, and only for the side that is declared."""
        loss = SoftTargetKL(**{f"{side}_from_logits": declared})
        assert from_logits(loss, side, "output", domain) is declared
        other = "student" if side == "teacher" else "teacher"
        assert from_logits(loss, other, "output", "softmax") is False


LOGITS = np.array([[1.5, -2.0, 0.3], [0.1, 4.0, -1.0]])
SOFTMAX = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
SIGMOID = np.array([[0.2, 0.9, 0.3], [0.9, 0.8, 0.0]])


class TestCheckValues:
    @every_side
    @pytest.mark.parametrize(
        ("loss_class", "values"),
        [
            (SoftTargetKL, SOFTMAX),
            (BinarySoftTargets, SIGMOID),
            (BinarySoftTargets, SOFTMAX),
            (LogitsMSE, SOFTMAX),
            (LogitsMSE, SIGMOID),
        ],
    )
    def test_undeclared_values_that_look_like_probabilities(self, loss_class, values, side):
        """A SavedModel or a subclassed teacher that ends in softmax, taken for logits."""
        with pytest.raises(ValueError, match="looks like probabilities") as error:
            check_values(loss_class(), side, "output[a]", None, values)
        assert f"The {side}'s 'output[a]'" in str(error.value)
        assert f"soft_loss={loss_class.__name__}({side}_from_logits=False)" in str(error.value)

    @pytest.mark.parametrize(
        ("loss_class", "values"),
        [
            (SoftTargetKL, LOGITS),
            # Between 0 and 1, but no distribution.
            (SoftTargetKL, SIGMOID),
            (BinarySoftTargets, LOGITS),
            (LogitsMSE, LOGITS),
            # A sum of 1 does not make a distribution.
            (SoftTargetKL, np.array([[2.0, -1.0]])),
            (SoftTargetKL, np.array([[0.5, 0.5, 0.5]])),
            (SoftTargetKL, np.zeros((0, 3))),
        ],
    )
    def test_undeclared_logits(self, loss_class, values):
        """No false alarm."""
        check_values(loss_class(), "teacher", "output", None, values)

    @every_side
    @pytest.mark.parametrize(
        ("loss_class", "domain", "declared", "values"),
        [
            # The layer says so: sums and ranges do not matter.
            (SoftTargetKL, "logits", None, SOFTMAX),
            (BinarySoftTargets, "logits", None, SIGMOID),
            (SoftTargetKL, "softmax", None, SOFTMAX),
            (BinarySoftTargets, "sigmoid", None, SIGMOID),
            # The user says so.
            (SoftTargetKL, None, True, SOFTMAX),
            (SoftTargetKL, None, False, SOFTMAX),
            (SoftTargetKL, "softmax", True, LOGITS),
            (BinarySoftTargets, None, False, SIGMOID),
            (LogitsMSE, None, True, SOFTMAX),
        ],
    )
    def test_known_domains(self, loss_class, domain, declared, values, side):
        """What is known is not guessed."""
        loss = loss_class(**{f"{side}_from_logits": declared})
        check_values(loss, side, "output", domain, values)

    @every_side
    @pytest.mark.parametrize(
        ("loss_class", "domain", "declared", "values"),
        [
            (SoftTargetKL, None, False, LOGITS),
            (SoftTargetKL, None, False, SIGMOID),
            (SoftTargetKL, "logits", False, LOGITS),
            (SoftTargetKL, "softmax", None, LOGITS),
            (BinarySoftTargets, None, False, LOGITS),
            (BinarySoftTargets, "sigmoid", None, LOGITS),
        ],
    )
    def test_probabilities_that_are_none(self, loss_class, domain, declared, values, side):
        """The log of a negative "probability" would be clipped to a constant."""
        loss = loss_class(**{f"{side}_from_logits": declared})
        with pytest.raises(ValueError, match="is declared to be probabilities") as error:
            check_values(loss, side, "output", domain, values)
        assert f"{loss.activation}, or its last layer says so" in str(error.value)
        assert f"values from {values.min():.4g} to {values.max():.4g}" in str(error.value)
        assert f"Declare {side}_from_logits=True" in str(error.value)

    @pytest.mark.parametrize("dtype", ["float16", "float32"])
    def test_rounded_probabilities(self, dtype):
        """150 classes in float16 do not sum to exactly 1."""
        logits = np.random.default_rng(0).normal(size=(8, 150))
        values = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        loss = SoftTargetKL(teacher_from_logits=False)
        check_values(loss, "teacher", "output", None, values.astype(dtype))
        with pytest.raises(ValueError, match="looks like probabilities"):
            check_values(SoftTargetKL(), "teacher", "output", None, values.astype(dtype))

    def test_tokens(self):
        """The classes are the last axis, whatever comes before."""
        values = np.stack([SOFTMAX, SOFTMAX])
        with pytest.raises(ValueError, match="looks like probabilities"):
            check_values(SoftTargetKL(), "teacher", "output", None, values)
        check_values(SoftTargetKL(), "teacher", "output", None, np.stack([SOFTMAX, LOGITS]))
