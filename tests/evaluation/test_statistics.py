"""Every measure against scikit-learn, SciPy or a plain loop, also on resamples."""

import numpy as np
import pytest
import scipy.stats
from scipy.special import log_softmax
from scipy.special import softmax
from sklearn import metrics

from keras_distill.evaluation.statistics import Bootstrap
from keras_distill.evaluation.statistics import OfSums
from keras_distill.evaluation.statistics import interval
from keras_distill.evaluation.statistics import mcnemar
from keras_distill.evaluation.statistics import on_all
from keras_distill.evaluation.statistics import p_value
from keras_distill.evaluation.statistics import paired_interval
from keras_distill.evaluation.statistics import smallest_visible
from keras_distill.evaluation.statistics import wilson
from keras_distill.evaluation.tasks.classification import Classification
from keras_distill.evaluation.tasks.regression import Regression
from keras_distill.evaluation.tasks.tagging import Tagging
from keras_distill.evaluation.tasks.tagging import spans

rng = np.random.default_rng(0)


def calibration_error(labels, probabilities):
    confidence, is_right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.minimum((confidence * 15).astype(int), 14)
    gaps = [
        np.mean(bins == b) * abs(confidence[bins == b].mean() - is_right[bins == b].mean())
        for b in np.unique(bins)
    ]
    return sum(gaps)


def expected_of_classes(labels, answers):
    probabilities, num_classes = np.exp(answers), answers.shape[1]
    expected = {
        "accuracy": metrics.accuracy_score(labels, answers.argmax(1)),
        "macro_f1": metrics.f1_score(labels, answers.argmax(1), average="macro"),
        "nll": -np.mean(answers[np.arange(len(labels)), labels]),
        "brier": np.mean(np.sum((probabilities - np.eye(num_classes)[labels]) ** 2, 1)),
        "ece": calibration_error(labels, probabilities),
    }
    if num_classes == 2:
        expected["auc"] = metrics.roc_auc_score(labels, answers[:, 1] - answers[:, 0])
    if num_classes > 5:
        classes = range(num_classes)
        expected["top_5_accuracy"] = metrics.top_k_accuracy_score(
            labels, answers, k=5, labels=classes
        )
    return expected


def values(measures, num_examples, counts=None):
    counts = np.ones(num_examples, int) if counts is None else counts
    return {measure.name: measure.statistic(counts[None])[0] for measure in measures}


def assert_equal(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("scale", [1, 30, 1e4])
@pytest.mark.parametrize("num_classes", [2, 3, 40])
def test_classification(num_classes, scale):
    labels = rng.integers(0, num_classes, 200)
    logits = scale * rng.normal(size=(200, num_classes)).astype("float32")
    task = Classification(labels)
    answers = task.answers(logits, "logits")
    np.testing.assert_allclose(answers, log_softmax(logits.astype("float64"), 1), atol=1e-9)
    assert_equal(values(task.measures(answers), 200), expected_of_classes(labels, answers))
    counts = np.bincount(rng.integers(0, 200, 200), minlength=200)
    drawn = np.repeat(np.arange(200), counts)
    assert_equal(
        values(task.measures(answers), 200, counts),
        expected_of_classes(labels[drawn], answers[drawn]),
    )
    f1 = metrics.f1_score(labels, answers.argmax(1), average=None, labels=range(num_classes))
    np.testing.assert_allclose(np.nan_to_num(on_all(task.class_f1(answers), 200)), f1)


def test_auc_of_ties_and_of_one_class():
    labels, scores = rng.integers(0, 2, 200), rng.integers(0, 4, 200)
    task = Classification(labels)
    answers = task.answers(np.stack([np.zeros(200), scores], axis=-1), "logits")
    (auc,) = (m.statistic for m in task.measures(answers) if m.name == "auc")
    counts = np.stack([np.bincount(rng.integers(0, 200, 200), minlength=200) for _ in range(5)])
    drawn = [np.repeat(np.arange(200), row) for row in counts]
    expected = [metrics.roc_auc_score(labels[rows], scores[rows]) for rows in drawn]
    np.testing.assert_allclose(auc(counts), expected, rtol=1e-12)
    assert np.isnan(auc(counts * labels)).all()


def test_against_the_teacher():
    teacher, student = log_softmax(rng.normal(size=(2, 50, 4)), -1)
    found = values(Classification(None).teacher_measures(teacher, student), 50)
    divergence = np.mean(scipy.stats.entropy(np.exp(teacher), np.exp(student), axis=1))
    agreement = metrics.accuracy_score(teacher.argmax(1), student.argmax(1))
    assert_equal(found, {"agreement": agreement, "fidelity": divergence})
    assert_equal(
        values(Classification(None).teacher_measures(teacher, teacher), 50),
        {"agreement": 1, "fidelity": 0},
    )


@pytest.mark.parametrize("domain", ["softmax", None])
def test_probabilities_are_recognised(domain):
    logits = rng.normal(size=(20, 3))
    answers = Classification(None).answers(np.exp(log_softmax(logits, -1)), domain)
    np.testing.assert_allclose(answers, log_softmax(logits, -1))


def test_ties_are_no_hits():
    answers = np.log(np.tile(np.eye(10)[0] * 0.91 + 0.009, (10, 1)))
    measures = Classification(np.arange(10)).measures(answers)
    found = values(measures, 10)
    assert (found["accuracy"], found["top_5_accuracy"]) == (0.1, 0.5)


def test_values_tell_probabilities_from_logits():
    task, probabilities = Classification(None), np.array([[0.75, 0.25], [1e-9, 1.0]])
    for rounded in (probabilities * 1.0000002, probabilities + 1e-7):
        answers = task.answers(rounded, None)
        np.testing.assert_allclose(np.exp(answers), probabilities, atol=1e-6)
    logits = np.array([[0.75, 0.75], [0.5, 0.9]])
    np.testing.assert_allclose(task.answers(logits, None), log_softmax(logits, -1))


def test_an_impossible_class_has_a_finite_price():
    for smallest, price in ((1.0, np.log(513)), (1e-30, np.log(2e30))):
        probabilities = np.array([[1.0, 0.0], [1.0, smallest]], "float32")
        answers = Classification(None).answers(probabilities, "softmax")
        assert -answers[0, 1] == pytest.approx(price, rel=1e-6)


def test_steps_of_eight_bits_cost_what_they_hide():
    """A 0 of an int8 file says less than one step, and not 1e-38."""
    exact = softmax(rng.normal(size=(5000, 10)) * 3, -1)
    labels = np.array([rng.choice(10, p=row) for row in exact])
    rounded = np.round(exact * 256) / 256
    assert np.any(rounded[np.arange(5000), labels] == 0)
    task = Classification(labels)
    nll, rounded_nll = (
        values(task.measures(task.answers(p, "softmax")), 5000)["nll"] for p in (exact, rounded)
    )
    assert abs(rounded_nll - nll) < 0.05


@pytest.mark.parametrize("domain", ["logits", "sigmoid"])
def test_one_output_is_the_second_of_two_classes(domain):
    logits = np.array([[2.0], [-3.0]])
    given = logits if domain == "logits" else 1 / (1 + np.exp(-logits))
    both = np.concatenate([np.zeros((2, 1)), logits], 1)
    answers = Classification(None).answers(given, domain)
    np.testing.assert_allclose(answers, log_softmax(both, -1))


def test_mcnemar():
    """Of 20 examples 9 are right in one model alone, 2 in the other alone."""
    labels = np.zeros(20, int)
    one, other = np.zeros((2, 20, 2))
    one[:, 1], other[:, 1] = -1, -1
    other[:9, 1], one[9:11, 1] = 1, 1
    expected = 2 * scipy.stats.binom.cdf(2, 11, 0.5)
    assert Classification(labels).mcnemar(one, other) == pytest.approx(expected)
    assert Classification(labels).mcnemar(one, one) == 1


def test_reliability():
    labels = np.array([0, 1, 0, 0])
    answers = np.log([[0.9, 0.1], [0.92, 0.08], [0.55, 0.45], [0.99, 0.01]])
    confidence, accuracy, count = Classification(labels).reliability(answers)
    np.testing.assert_allclose(confidence, [0.55, 0.91, 0.99])
    np.testing.assert_allclose(accuracy, [1, 0.5, 1])
    assert count.tolist() == [1, 2, 1]


def test_regression():
    labels, teacher = rng.normal(size=(2, 60))
    predicted = labels + rng.normal(size=60)
    task = Regression(labels)
    answers = task.answers(predicted[:, None].astype("float32"), None)
    expected = {
        "mae": metrics.mean_absolute_error(labels, answers),
        "spearman": scipy.stats.spearmanr(labels, answers).statistic,
    }
    assert_equal(values(task.measures(answers), 60), expected)
    found = values(task.teacher_measures(teacher, answers), 60)
    assert_equal(found, {"teacher_mae": np.mean(np.abs(teacher - answers))})
    assert np.isnan(values(task.measures(np.zeros(60)), 60)["spearman"])


class TestTagging:
    tags = ("O", "B-person", "I-person", "B-place", "I-place")

    @pytest.mark.parametrize(
        ("row", "expected"),
        [
            ("O O", []),
            ("B-a I-a O B-a", [(0, 2, "a"), (3, 4, "a")]),
            ("B-a B-a", [(0, 1, "a"), (1, 2, "a")]),
            ("B-a I-b I-b", [(0, 1, "a"), (1, 3, "b")]),
            ("O I-b I-c", [(1, 2, "b"), (2, 3, "c")]),
            ("B-c B-c I-a", [(0, 1, "c"), (1, 2, "c"), (2, 3, "a")]),
        ],
    )
    def test_spans(self, row, expected):
        assert sorted(spans(row.split())) == expected

    def test_sentences_are_drawn_whole(self):
        labels = [rng.integers(0, 5, length) for length in (4, 1, 7, 3)]
        logits = [rng.normal(size=(len(row), 5)) for row in labels]
        task = Tagging(labels, self.tags)
        answers = task.answers(logits, "logits")
        counts = np.array([2, 0, 1, 1])
        found = values(task.measures(answers), 4, counts)
        right = true = said = 0
        drawn_labels, drawn_words = [], []
        for count, row, logit in zip(counts, labels, logits):
            sets = [spans([self.tags[i] for i in tags]) for tags in (row, logit.argmax(1))]
            right += count * len(sets[0] & sets[1])
            true, said = true + count * len(sets[0]), said + count * len(sets[1])
            drawn_labels += [row] * count
            drawn_words += [logit.argmax(1)] * count
        assert found["span_f1"] == pytest.approx(2 * right / (true + said))
        drawn_labels, drawn_words = map(np.concatenate, (drawn_labels, drawn_words))
        assert found["accuracy"] == pytest.approx(np.mean(drawn_labels == drawn_words))

    def test_words_without_a_label_do_not_count(self):
        labels = [np.array([1, -1, 2]), np.array([0])]
        logits = [rng.normal(size=(3, 5)), rng.normal(size=(1, 5))]
        task = Tagging(labels, self.tags)
        found = values(task.measures(task.answers(logits, "logits")), 2)
        right = [logits[0][[0, 2]].argmax(1) == [1, 2], logits[1].argmax(1) == [0]]
        assert found["accuracy"] == pytest.approx(np.mean(np.concatenate(right)))

    def test_tags_without_spans(self):
        task = Tagging([np.array([0, 1])], ("noun", "verb"))
        measures = task.measures(task.answers([rng.normal(size=(2, 2))], "logits"))
        assert "span_f1" not in {measure.name for measure in measures}


class TestBootstrap:
    def test_interval_of_a_mean(self):
        """Near that of the normal distribution, with 2,000 examples."""
        sample = rng.normal(size=2000)
        resampled = Bootstrap(2000, seed=1).resample({"mean": OfSums(sample)})["mean"]
        low, high = interval(resampled)
        half = 1.96 * sample.std() / np.sqrt(2000)
        assert low == pytest.approx(sample.mean() - half, abs=0.15 * half)
        assert high == pytest.approx(sample.mean() + half, abs=0.15 * half)

    def test_the_same_draws_for_all_and_again(self):
        sample = rng.normal(size=50)
        statistics = {"one": OfSums(sample), "more": OfSums(sample + 1)}
        resampled = Bootstrap(50, 20, seed=3).resample(statistics)
        np.testing.assert_allclose(resampled["more"] - resampled["one"], 1)
        again = Bootstrap(50, 20, seed=3).resample(statistics)
        np.testing.assert_array_equal(again["one"], resampled["one"])
        assert len(set(resampled["one"])) == 20

    def test_p_value(self):
        assert p_value(np.full(999, 2.0)) == pytest.approx(2 / 1000)
        assert p_value(np.zeros(999)) == 1
        assert p_value(np.concatenate([np.ones(949), -np.ones(50)])) == pytest.approx(0.102)

    def test_half_of_true_nulls_have_a_p_below_one_half(self):
        p_values = []
        for seed in range(200):
            differences = np.random.default_rng(seed).normal(size=80)
            resampled = Bootstrap(80, 200, seed).resample({"d": OfSums(differences)})
            p_values.append(p_value(resampled["d"]))
        assert np.mean(np.array(p_values) < 0.5) == pytest.approx(0.5, abs=0.12)
        assert np.mean(np.array(p_values) < 0.05) < 0.12


class TestShares:
    def test_all_right_of_few_is_no_certainty(self):
        """A bootstrap of 60 right answers would say 100 to 100."""
        low, high = wilson(60, 60)
        assert low == pytest.approx(60 / (60 + 1.959964**2), abs=1e-4)
        assert high == 1
        everything = np.ones(60, bool)
        assert paired_interval(everything, everything) == pytest.approx((-0.0454, 0.0454), abs=1e-3)

    def test_paired_interval_holds_the_truth_19_times_of_20(self):
        held = 0
        for seed in range(400):
            draws = np.random.default_rng(seed).choice(3, size=80, p=(0.8, 0.14, 0.06))
            low, high = paired_interval(draws != 2, draws != 1)
            held += low <= 0.08 <= high
        assert 0.93 <= held / 400 <= 0.99

    @pytest.mark.parametrize("num_different", [0, 6, 20, 61])
    def test_smallest_visible_difference(self, num_different):
        """One example less, and McNemar's test is above 0.05."""
        count = max(6, num_different)
        ahead = round(200 * smallest_visible(num_different, 200))
        wins = (count + ahead) // 2
        outcomes = [np.arange(200) < wins, (np.arange(200) >= wins) & (np.arange(200) < count)]
        assert wins - (count - wins) == ahead
        assert mcnemar(*outcomes) < 0.05
        outcomes = [
            np.arange(200) < wins - 1,
            (np.arange(200) >= wins - 1) & (np.arange(200) < count),
        ]
        assert mcnemar(*outcomes) >= 0.05
