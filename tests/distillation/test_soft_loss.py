"""The soft loss over several outputs: loss, teacher output, domain and weights of each."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill.distillation.soft_loss import OutputPair
from keras_distill.distillation.soft_loss import checked_soft_loss
from keras_distill.distillation.soft_loss import output_pairs
from keras_distill.losses import CRD
from keras_distill.losses import BinarySoftTargets
from keras_distill.losses import LogitsMSE
from keras_distill.losses import SoftTargetKL
from keras_distill.losses import VariationalInformation


def model_of(activations):
    """A model with an output per activation, in a structure like theirs."""
    inputs = keras.Input((4,))
    outputs = keras.tree.map_structure(
        lambda activation: layers.Dense(3, activation=activation)(inputs), activations
    )
    return keras.Model(inputs, outputs)


def pairs_of(loss, teacher, student, sample_weight=None, output_names=None):
    """Pairs of two models, and their outputs for a batch."""
    x = tf.constant(np.random.default_rng(0).normal(size=(5, 4)).astype("float32"))
    outputs = teacher(x), student(x)
    pairs = output_pairs(loss, (teacher, student), outputs, sample_weight, output_names)
    return pairs, *outputs


class TestOutputPairs:
    def test_carried_outputs_that_are_some_of_the_teachers(self):
        """The domain of another output, by place, would make logits of probabilities."""
        teacher, student = model_of({"a": None, "b": "softmax"}), model_of({"b": None})
        x = tf.ones((2, 4))
        outputs = {"b": teacher(x)["b"]}, student(x)
        (pair,) = output_pairs(SoftTargetKL(), (teacher, student), outputs)
        assert pair.teacher_domain is None
        with pytest.raises(ValueError, match="looks like probabilities"):
            pair.check_values()

    def test_one_output(self):
        """No structure at all."""
        loss = SoftTargetKL()
        (pair,), teacher, student = pairs_of(loss, model_of("softmax"), model_of("linear"))
        assert pair == OutputPair("output", loss, teacher, student, "softmax", "logits", None)

    def test_function_as_teacher(self):
        """Its domain is unknown, the student's is not."""
        (pair,), _, _ = pairs_of(SoftTargetKL(), lambda x: x[:, :3], model_of("softmax"))
        assert (pair.teacher_domain, pair.student_domain) == (None, "softmax")

    def test_dicts(self):
        """Names, losses, tensors, domains and weights of one output stay together."""
        losses = {"a": SoftTargetKL(), "b": BinarySoftTargets()}
        weights = {"b": np.ones(5), "a": np.zeros(5)}
        (first, second), teacher, student = pairs_of(
            losses,
            model_of({"b": "sigmoid", "a": "softmax"}),
            model_of({"a": "linear", "b": "relu"}),
            weights,
        )
        a = ("softmax", "logits", weights["a"], None, "a")
        b = ("sigmoid", "other", weights["b"], None, "b")
        assert first == OutputPair("output[a]", losses["a"], teacher["a"], student["a"], *a)
        assert second == OutputPair("output[b]", losses["b"], teacher["b"], student["b"], *b)

    def test_outputs_without_a_loss(self):
        """Left out, with the domains of the others still their own."""
        (pair,), teacher, _ = pairs_of(
            {"b": SoftTargetKL()},
            model_of({"a": "softmax", "b": "linear"}),
            model_of({"a": "relu", "b": "softmax"}),
        )
        assert pair.name == "output[b]"
        assert (pair.teacher_domain, pair.student_domain) == ("logits", "softmax")
        assert pair.teacher is teacher["b"]

    def test_teacher_with_more_outputs(self):
        """The teacher's domains are those of its own outputs, not of the student's order."""
        pairs, _, _ = pairs_of(
            SoftTargetKL(),
            model_of({"a": "relu", "b": "softmax", "c": "linear"}),
            model_of({"c": "linear", "b": "linear"}),
        )
        assert [(pair.name, pair.teacher_domain) for pair in pairs] == [
            ("output[b]", "softmax"),
            ("output[c]", "logits"),
        ]

    def test_named_outputs_of_a_list(self):
        """A list has names too, for the losses, the weights and a teacher's dict."""
        losses = {"second": SoftTargetKL()}
        (pair,), teacher, student = pairs_of(
            losses,
            model_of({"second": "softmax", "first": "linear"}),
            model_of(["linear", "linear"]),
            {"second": 2.0},
            ["first", "second"],
        )
        rest = ("softmax", "logits", 2.0, None, "second")
        assert pair == OutputPair(
            "output[1]", losses["second"], teacher["second"], student[1], *rest
        )

    def test_nested_names(self):
        """The name in an error is the path that a user would write."""
        model = model_of({"head": ["linear", "linear"]})
        pairs, _, _ = pairs_of(SoftTargetKL(), model, model)
        assert [pair.name for pair in pairs] == ["output[head][0]", "output[head][1]"]

    def test_one_weight_for_all(self):
        """Weights per example hold for every output."""
        weights = np.ones(5)
        model = model_of(["linear", "linear"])
        pairs, _, _ = pairs_of(SoftTargetKL(), model, model, weights)
        assert all(pair.sample_weight is weights for pair in pairs)

    @pytest.mark.parametrize("loss", ["kl", [SoftTargetKL(), "kl"], {"a": SoftTargetKL}])
    def test_losses_only(self, loss):
        """A string or a class would fail inside the first step."""
        with pytest.raises(ValueError, match=r"soft_loss must be a keras\.losses\.Loss"):
            checked_soft_loss(loss)

    @pytest.mark.parametrize("loss", [VariationalInformation(), CRD(8)])
    def test_losses_with_parts(self, loss):
        """Nothing would train or save them."""
        with pytest.raises(ValueError, match=f'variables of {type(loss).__name__}.*"output"'):
            checked_soft_loss({"a": loss})

    def test_losses_without_reduction(self):
        """Their values, added to the hard loss, would count that once for each example."""
        with pytest.raises(ValueError, match="soft_loss must have a reduction"):
            checked_soft_loss([None, SoftTargetKL(reduction=None)])

    @pytest.mark.parametrize(
        "loss", [None, SoftTargetKL(), [None, SoftTargetKL()], {"a": keras.losses.Huber()}]
    )
    def test_allowed_losses(self, loss):
        """Any Keras loss, and None for an output without one."""
        assert checked_soft_loss(loss) == loss


class TestOutputPair:
    PROBABILITIES = tf.constant([[0.2, 0.8], [0.5, 0.5]])
    LOGITS = tf.constant([[2.0, -8.0], [0.5, 5.0]])

    @pytest.mark.parametrize("teacher_domain", ["logits", "softmax"])
    @pytest.mark.parametrize("student_domain", ["logits", "softmax"])
    def test_value_of_every_domain(self, student_domain, teacher_domain):
        """The same loss whichever of the models ends in a softmax, and it stays undeclared."""
        softened = {"logits": lambda z: z, "softmax": keras.ops.softmax}
        teacher, student = self.LOGITS, self.LOGITS[::-1]
        loss = SoftTargetKL(2.0)
        expected = float(loss(teacher, student))
        pair = OutputPair(
            "output",
            loss,
            softened[teacher_domain](teacher),
            softened[student_domain](student),
            teacher_domain,
            student_domain,
            None,
        )
        assert float(pair.value(0)) == pytest.approx(expected, rel=1e-4)
        assert (loss.teacher_from_logits, loss.student_from_logits) == (None, None)

    def test_value_at_a_step(self):
        """The temperature of the step."""
        schedule = keras.optimizers.schedules.PolynomialDecay(8.0, 100, 2.0)
        teacher, student = self.LOGITS, self.LOGITS[::-1]
        pair = OutputPair("output", SoftTargetKL(schedule), teacher, student, None, None, None)
        for step, temperature in ((0, 8.0), (50, 5.0)):
            expected = float(SoftTargetKL(temperature)(teacher, student))
            assert float(pair.value(step)) == pytest.approx(expected, rel=1e-6)

    def test_value_of_a_keras_loss(self):
        """It knows neither domain nor temperature."""
        loss = keras.losses.MeanSquaredError()
        pair = OutputPair("output", loss, self.LOGITS, self.PROBABILITIES, "other", None, None)
        assert float(pair.value(3)) == float(loss(self.LOGITS, self.PROBABILITIES))

    def test_dtype_of_the_loss(self):
        """A Distiller adds it to losses of Keras's dtype."""
        loss = SoftTargetKL(dtype="float64")
        pair = OutputPair("output", loss, self.LOGITS, self.LOGITS, None, None, None)
        assert pair.value(0).dtype == "float32"

    def test_weights_per_example_of_tokens(self):
        """Each weight goes to its example's tokens, also with as many tokens as examples."""
        teacher, student = tf.stack([self.LOGITS] * 2), tf.stack([self.LOGITS[::-1]] * 2)
        loss = SoftTargetKL(reduction=None)
        pair = OutputPair("output", loss, teacher, student, None, None, np.array([0.0, 1.0]))
        value = pair.value(0).numpy()
        assert not value[0].any()
        assert value[1].all()

    def test_value_of_an_unfit_domain(self):
        """The error names the side and the output."""
        pair = OutputPair("output[a]", LogitsMSE(), 1.0, 2.0, "logits", "softmax", None)
        with pytest.raises(ValueError, match=r"LogitsMSE cannot take the student's 'output\[a\]'"):
            pair.value(0)

    @pytest.mark.parametrize("side", ["teacher", "student"])
    @pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
    def test_check_values(self, dtype, side):
        """Both sides are checked, whatever their dtype."""
        outputs = {"teacher": self.LOGITS, "student": self.LOGITS}
        settings = {"teacher_domain": None, "student_domain": None, "sample_weight": None}
        for is_probability in (False, True):
            if is_probability:
                outputs[side] = self.PROBABILITIES
            cast = {name: keras.ops.cast(tensor, dtype) for name, tensor in outputs.items()}
            pair = OutputPair("output", SoftTargetKL(), **cast, **settings)
            if is_probability:
                with pytest.raises(ValueError, match=f"The {side}'s 'output' looks like prob"):
                    pair.check_values()
            else:
                pair.check_values()

    def test_other_losses_have_no_domain(self):
        """A Keras loss takes what it is given."""
        same = self.PROBABILITIES
        loss = keras.losses.MeanSquaredError()
        OutputPair("output", loss, same, same, None, None, None).check_values()
