"""Losses on attention against closed forms in float64, written from the papers."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import norm_error
from oracles import run
from oracles import uniform
from scipy.special import log_softmax
from scipy.special import softmax

from keras_distill import Objective
from keras_distill.losses import AttentionKL
from keras_distill.losses import AttentionMSE
from keras_distill.losses import AttentionRelationKL

KEPT = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], bool)


def scores(limit, shape=(3, 2, 5, 5), dtype="float32", seed=0):
    """Teacher's and student's attention, (batch, heads, queries, keys), as a model gives it."""
    return softmax(uniform(limit, shape, "float64", seed), axis=-1).astype(dtype)


def mse(teacher, student):
    difference = student.astype("float64") - teacher.astype("float64")
    gradient = 2 * difference / student.shape[1]
    return np.mean(np.sum(difference**2, axis=-1), axis=1), gradient


def kl(teacher, student):
    """Of p / sum(p) and q / sum(q): the gradient by q is 1 / sum(q) - p / q, 0 in underflow."""
    tiny = np.finfo("float32").tiny
    p, q = (np.maximum(z.astype("float64"), tiny) for z in (teacher, student))
    p /= p.sum(-1, keepdims=True)
    total = q.sum(-1, keepdims=True)
    gradient = np.where(student < tiny, 0, 1 / total - p / q) / q.shape[1]
    return np.mean(np.sum(p * np.log(p / (q / total)), axis=-1), axis=1), gradient


def relation_logits(values, kept):
    """(batch, heads, queries, keys) of (batch, length, heads, width), one head at a time."""
    batch, length, heads, width = values.shape
    logits = np.zeros((batch, heads, length, length))
    for b in range(batch):
        for h in range(heads):
            v = values[b, :, h].astype("float64")
            logits[b, h] = v @ v.T / np.sqrt(width)
            logits[b, h][:, ~kept[b]] = -np.inf
    return logits


def relation_kl(teacher, student, kept=None):
    """Values, and the gradient of their sum over the kept tokens by the student's values."""
    batch, length, heads, width = student.shape
    kept = np.ones((batch, length), bool) if kept is None else kept
    logits = [relation_logits(z, kept) for z in (teacher, student)]
    log_p, log_q = (log_softmax(z, axis=-1) for z in logits)
    p, q = np.exp(log_p), np.exp(log_q)
    with np.errstate(invalid="ignore"):
        terms = np.where(p > 0, p * (log_p - log_q), 0)
    by_logit = (q - p) * kept[:, None, :, None] / heads / np.sqrt(width)
    values = np.moveaxis(student.astype("float64"), 2, 1)
    gradient = np.moveaxis((by_logit + np.swapaxes(by_logit, 2, 3)) @ values, 1, 2)
    return np.mean(np.sum(terms, axis=-1), axis=1), gradient


SCORE_ORACLES = {AttentionMSE: mse, AttentionKL: kl}
on_scores = pytest.mark.parametrize("loss_class", SCORE_ORACLES)


def values_of(limit, width=4, other_width=6, heads=2, dtype="float32"):
    """Teacher's and student's values, (batch, length, heads, width)."""
    teacher, _ = uniform(limit, (3, 5, heads, other_width), dtype)
    return teacher, uniform(limit, (3, 5, heads, width), dtype, seed=1)[0]


class Pair:
    """Arguments that fit a loss, and its oracle."""

    def __init__(self, loss_class):
        is_relation = loss_class is AttentionRelationKL
        self.loss_class = loss_class
        self.teacher, self.student = values_of(2.0) if is_relation else scores(5.0)
        self.oracle = relation_kl if is_relation else SCORE_ORACLES[loss_class]

    def masked_student(self, mask=KEPT):
        """The student as a tap gives it."""
        student = tf.constant(self.student)
        if self.loss_class is not AttentionRelationKL:
            mask = np.broadcast_to(mask[:, None], (3, 2, 5))
        student._keras_mask = tf.constant(mask)
        return student

    def student_like_teacher(self):
        return tf.constant(self.teacher)


@pytest.fixture(params=[AttentionMSE, AttentionKL, AttentionRelationKL])
def pair(request):
    return Pair(request.param)


class TestValues:
    @pytest.mark.parametrize("limit", [5.0, 50.0, 1000.0])
    @on_scores
    def test_scores(self, loss_class, limit):
        """Large logits give probabilities of 0 and 1: logarithms and ratios of 0."""
        teacher, student = scores(limit)
        expected, expected_gradient = SCORE_ORACLES[loss_class](teacher, student)
        values, gradient = run(loss_class(reduction=None), teacher, student)
        assert values.shape == (3, 5)
        assert norm_error(values, expected) < 1e-6
        assert np.isfinite(gradient).all()
        assert norm_error(gradient, expected_gradient) < 1e-6

    @pytest.mark.parametrize("limit", [1.0, 5.0, 50.0, 1000.0])
    def test_relations(self, limit):
        """Products of 1000^2 tie up all digits of float32: the softmax must see more of them."""
        teacher, student = values_of(limit)
        expected, expected_gradient = relation_kl(teacher, student)
        values, gradient = run(AttentionRelationKL(reduction=None), teacher, student)
        assert values.shape == (3, 5)
        assert values.dtype == "float32"
        assert norm_error(values, expected) < 1e-6
        assert norm_error(gradient, expected_gradient) < 1e-6

    @pytest.mark.parametrize("num_relation_heads", [1, 3, 6])
    def test_relation_heads(self, num_relation_heads):
        """Heads that are cut along another axis than their width mix tokens."""
        teacher, _ = values_of(2.0, other_width=6, heads=2)
        student, _ = values_of(2.0, other_width=2, heads=3)
        loss = AttentionRelationKL(num_relation_heads, reduction=None)
        cut = [z.reshape(3, 5, num_relation_heads, -1) for z in (teacher, student)]
        expected, expected_gradient = relation_kl(*cut)
        values, gradient = run(loss, teacher, student)
        assert norm_error(values, expected) < 1e-6
        assert norm_error(gradient, expected_gradient.reshape(3, 5, 3, 2)) < 1e-6

    def test_relations_do_not_see_a_rotation(self):
        """Products only: another basis of each head is the same relation, as the paper needs."""
        teacher, student = values_of(2.0)
        rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
        loss = AttentionRelationKL(reduction=None)
        expected = loss(teacher, student)
        np.testing.assert_allclose(loss(teacher, student @ rotation), expected, rtol=1e-5)

    def test_student_equal_to_teacher(self, pair):
        """A rest of the gradient would drive a perfect student away."""
        values, gradient = run(
            pair.loss_class(reduction=None), pair.teacher, pair.student_like_teacher()
        )
        assert not np.any(values)
        assert not np.any(gradient)

    @on_scores
    def test_zeros(self, loss_class):
        """A row without any attention, as of a query that may see nothing."""
        teacher, student = scores(5.0)
        teacher[0], student[0, :, 1] = 0, 0
        values, gradient = run(loss_class(reduction=None), teacher, student)
        assert np.isfinite(values).all()
        assert np.isfinite(gradient).all()

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_precision(self, pair, dtype):
        """The computation runs in float32, the gradient goes back in the student's dtype."""
        teacher, student = (tf.cast(z, dtype) for z in (pair.teacher, pair.student))
        exact = [tf.cast(z, "float32").numpy() for z in (teacher, student)]
        expected, expected_gradient = pair.oracle(*exact)
        values, gradient = run(pair.loss_class(reduction=None), teacher, student)
        assert values.dtype == "float32"
        assert gradient.dtype == dtype
        assert norm_error(values, expected) < 1e-6
        assert norm_error(gradient, expected_gradient) < 1e-2

    def test_teacher_gets_no_gradient(self, pair):
        """A loss that may move the teacher pulls both models together, to nothing."""
        teacher, student = tf.Variable(pair.teacher), tf.Variable(pair.student)
        with tf.GradientTape() as tape:
            value = pair.loss_class()(teacher, student)
        gradients = tape.gradient(value, [teacher, student])
        assert gradients[0] is None
        assert np.any(gradients[1])


class TestPadding:
    def test_masked_queries_do_not_count(self, pair):
        """The mean over the tokens alone: texts of any length weigh the same."""
        value = pair.loss_class()(pair.teacher, pair.masked_student())
        arguments = [KEPT] if pair.loss_class is AttentionRelationKL else []
        expected, _ = pair.oracle(pair.teacher, pair.student, *arguments)
        assert float(value) == pytest.approx(np.mean(expected[KEPT]), rel=1e-6)

    def test_padding_gets_no_gradient(self, pair):
        """Neither as query nor, among the values, as key."""
        student = tf.Variable(pair.student)
        with tf.GradientTape() as tape:
            tensor = tf.identity(student)
            tensor._keras_mask = pair.masked_student()._keras_mask
            value = pair.loss_class()(pair.teacher, tensor)
        gradient = tape.gradient(value, student).numpy()
        if pair.loss_class is not AttentionRelationKL:
            gradient = np.moveaxis(gradient, 1, 2)
        assert not np.any(gradient[~KEPT])
        assert np.any(gradient[KEPT])

    def test_relations_of_padding_are_exact(self):
        """Value and gradient where some keys are left out of the softmax."""
        pair = Pair(AttentionRelationKL)
        student = tf.Variable(pair.student)
        with tf.GradientTape() as tape:
            tensor = tf.identity(student)
            tensor._keras_mask = tf.constant(KEPT)
            value = AttentionRelationKL(reduction="sum")(pair.teacher, tensor)
        expected, expected_gradient = relation_kl(pair.teacher, pair.student, KEPT)
        assert float(value) == pytest.approx(expected[KEPT].sum(), rel=1e-6)
        assert norm_error(tape.gradient(value, student), expected_gradient) < 1e-6

    def test_longer_padding_changes_nothing(self, pair):
        """A batch with one long text must not weigh its short ones less."""
        if pair.loss_class is AttentionRelationKL:
            widths = [(0, 0), (0, 3), (0, 0), (0, 0)]
        else:
            widths = [(0, 0), (0, 0), (0, 3), (0, 3)]
        value = pair.loss_class()(pair.teacher, pair.masked_student(np.ones((3, 5), bool)))
        longer = Pair(pair.loss_class)
        longer.teacher, longer.student = (np.pad(z, widths) for z in (pair.teacher, pair.student))
        mask = np.broadcast_to(np.arange(8) < 5, (3, 8))
        student = tf.constant(longer.student)
        student._keras_mask = tf.constant(
            mask if pair.loss_class is AttentionRelationKL else np.repeat(mask[:, None], 2, 1)
        )
        assert float(pair.loss_class()(longer.teacher, student)) == pytest.approx(
            float(value), rel=1e-6
        )

    def test_everything_masked(self, pair):
        """A batch of padding: 0, not 0 / 0."""
        student = pair.masked_student(np.zeros((3, 5), bool))
        assert float(pair.loss_class()(pair.teacher, student)) == 0

    @pytest.mark.parametrize("shape", [(3,), (3, 5)])
    def test_sample_weights_in_an_objective(self, pair, shape):
        """A weight per example or per token; with heads in between they would mix up."""
        weights = np.linspace(0.5, 2, np.prod(shape)).reshape(shape)
        objective = Objective(pair.loss_class(), teacher_layer="t", student_layer="s")
        value = objective(pair.teacher, pair.masked_student(), sample_weight=weights)
        arguments = [KEPT] if pair.loss_class is AttentionRelationKL else []
        expected, _ = pair.oracle(pair.teacher, pair.student, *arguments)
        weighted = expected * (weights if len(shape) == 2 else weights[:, None])
        assert float(value) == pytest.approx(np.sum(weighted[KEPT]) / KEPT.sum(), rel=1e-6)


class TestGraphs:
    def test_compiled_by_xla(self, pair):
        """The same number where XLA fuses the operations."""
        compiled = tf.function(
            lambda t, s: run(pair.loss_class(reduction=None), t, s), jit_compile=True
        )
        values, gradient = compiled(tf.constant(pair.teacher), tf.constant(pair.student))
        expected, expected_gradient = pair.oracle(pair.teacher, pair.student)
        assert norm_error(values, expected) < 1e-6
        assert norm_error(gradient, expected_gradient) < 1e-6

    def test_unknown_sizes_and_an_empty_batch(self, pair):
        """fit() traces with None; a replica may get nothing of the last batch."""
        specs = [
            tf.TensorSpec([None, None, *z.shape[2:]])
            if pair.loss_class is AttentionRelationKL
            else tf.TensorSpec([None, 2, None, None])
            for z in (pair.teacher, pair.student)
        ]
        traced = tf.function(lambda t, s: run(pair.loss_class(), t, s), input_signature=specs)
        expected, expected_gradient = pair.oracle(pair.teacher, pair.student)
        value, gradient = traced(pair.teacher, pair.student)
        assert float(value) == pytest.approx(np.mean(expected), rel=1e-6)
        assert norm_error(gradient, expected_gradient / expected.size) < 1e-6
        value, gradient = traced(pair.teacher[:0], pair.student[:0])
        assert float(value) == 0
        assert gradient.shape[0] == 0

    def test_nothing_is_broadcast_at_run_time(self, pair):
        """The graph does not know the batch size: 1 against 3 only shows with the values."""
        specs = [tf.TensorSpec([None, *z.shape[1:]]) for z in (pair.teacher, pair.student)]
        traced = tf.function(pair.loss_class(), input_signature=specs)
        with pytest.raises(tf.errors.InvalidArgumentError):
            traced(pair.teacher[:1], pair.student)


class TestBadInput:
    @pytest.mark.parametrize(
        ("teacher", "student"),
        [
            ((2, 4, 5, 5), (2, 2, 5, 5)),
            ((2, 1, 5, 5), (2, 2, 5, 5)),
            ((2, 2, 5, 5), (2, 2, 5, 7)),
            ((2, 2, 5), (2, 2, 5)),
        ],
    )
    @on_scores
    def test_scores_of_other_shapes(self, loss_class, teacher, student):
        """Other heads or tokens; 1 against 2 would broadcast to a wrong number."""
        message = "compares attention scores of one shape.*Received: teacher.*AttentionRelationKL"
        with pytest.raises(ValueError, match=message):
            Objective(loss_class(), teacher_layer="t", student_layer="s")(
                np.ones(teacher), np.ones(student)
            )

    @pytest.mark.parametrize(
        ("teacher", "student", "heads", "message"),
        [
            ((2, 5, 4, 4), (2, 7, 4, 4), None, "relations of the same tokens.*Tap"),
            ((2, 5, 16), (2, 5, 4, 4), None, "relations of the same tokens.*Tap"),
            ((2, 5, 4, 4), (2, 5, 2, 4), None, "as many heads.*Give num_relation_heads"),
            ((2, 5, 4, 4), (2, 5, 3, 4), 8, "num_relation_heads must divide.*=8"),
        ],
    )
    def test_values_that_do_not_fit(self, teacher, student, heads, message):
        """Each tells what arrived and the remedy."""
        with pytest.raises(ValueError, match=message) as error:
            AttentionRelationKL(heads)(np.ones(teacher), np.ones(student))
        assert f"teacher {teacher}, student {student}" in str(error.value)

    @pytest.mark.parametrize("heads", [0, -1, 2.0, True])
    def test_relation_heads_out_of_range(self, heads):
        with pytest.raises(ValueError, match="num_relation_heads must be an integer of 1 or more"):
            AttentionRelationKL(heads)


def test_config_round_trip(pair):
    """A reloaded Distiller must not go on with another loss than it was saved with."""
    settings = {"num_relation_heads": 2} if pair.loss_class is AttentionRelationKL else {}
    loss = pair.loss_class(reduction="sum", name="mine", dtype="float64", **settings)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    restored = keras.saving.deserialize_keras_object(config)
    assert type(restored) is pair.loss_class
    assert restored.get_config() == loss.get_config()
    assert float(restored(pair.teacher, pair.student)) == float(loss(pair.teacher, pair.student))


@pytest.mark.parametrize("gap", [3.0, 9.0, 13.0, 17.0])
def test_attention_kl_of_a_float16_student(gap):
    """teacher / student overflows where the student hardly looks; the rest must be right."""
    logits = tf.constant([[[[0.0, -gap]]]], "float16")
    teacher = tf.constant([[[[0.5, 0.5]]]], "float16")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        student = tf.nn.softmax(logits)
        value = AttentionKL()(teacher, student)
    gradient = tape.gradient(value, logits)
    assert np.isfinite(gradient).all()
    if gap < 9.5:  # Above the smallest normal float16.
        student = np.exp([0, -gap]) / np.exp([0, -gap]).sum()
        np.testing.assert_allclose(gradient[0, 0, 0], student - 0.5, atol=2e-2)
