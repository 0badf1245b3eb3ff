"""One output from 0 to 1 may be a logit or a probability: nobody guesses."""

import numpy as np
import pytest

import keras_distill as kd

X = np.linspace(0, 1, 40, dtype="float32")[:, None]
# Half of the logits from 0 to 1 are of the first class.
LABELS = (X[:, 0] > 0.5).astype(int)


def one_output(x):
    return np.asarray(x)


def compare(models, labels=LABELS, **settings):
    return kd.compare(models, (X, labels), num_threads=(), num_resamples=20, verbose=0, **settings)


def accuracy(comparison, name="f"):
    figures = comparison.models[name].figures
    return next(figure.value for measure, figure in figures.items() if measure.name == "accuracy")


def test_a_function_of_one_logit_or_probability_is_asked():
    """All of these logits are of the second class; they were taken for probabilities."""
    with pytest.raises(ValueError, match=r"models\['f'\] must show whether it .*False}"):
        compare({"f": one_output})
    assert accuracy(compare({"f": one_output}, from_logits={"f": False})) == 1
    # The first logit is 0, a tie, which is the first class.
    as_logits = accuracy(compare({"f": one_output}, from_logits={"f": True}))
    assert as_logits == pytest.approx(21 / 40)


def test_what_shows_itself_is_not_asked():
    comparison = compare({"f": lambda x: np.asarray(x) * 4 - 2})
    assert accuracy(comparison) == 1
    ratings = X[:, 0] * 0.5
    assert compare({"f": one_output}, ratings).task.name == "regression"


def test_a_declaration_says_that_models_classify():
    """Labels 0.0 and 1.0 of one output could be numbers."""
    floats = LABELS.astype("float32")
    assert accuracy(compare({"f": one_output}, floats, from_logits={"f": False})) == 1
    with pytest.raises(ValueError, match="labels that are indices of classes"):
        compare({"f": one_output}, X[:, 0] * 0.5, from_logits={"f": False})


@pytest.mark.parametrize(
    ("from_logits", "message"),
    [
        ({"g": True}, r"from_logits must be a dict from names of the models .*\['f'\]"),
        ({"f": 1}, "from_logits must be a dict"),
        (True, "from_logits must be a dict"),
        ({"f": False}, "from_logits says that .*'f'.* gives probabilities.*from -2 to 2"),
    ],
    ids=["name", "type", "bool", "values"],
)
def test_wrong_declarations(from_logits, message):
    with pytest.raises(ValueError, match=message):
        compare({"f": lambda x: np.asarray(x) * 4 - 2}, from_logits=from_logits)


def test_numbers_have_no_logits():
    with pytest.raises(ValueError, match="from_logits is for classifiers"):
        compare({"f": one_output}, X[:, 0], task="regression", from_logits={"f": True})


def test_signs_for_labels_are_told():
    """-1 is no label, so that models were compared on class 1 alone, without a word."""
    signs = np.where(np.arange(len(X)) % 2, 1, -1)
    with pytest.warns(UserWarning, match=r"labels -1 and 1 alone.*labels 0 and 1"):
        compare({"m": lambda x: x * 9}, signs)


def test_whole_numbers_to_predict():
    """The error named no remedy."""
    with pytest.raises(ValueError, match=r'label of 48.*task="regression" \(--task\)'):
        compare({"m": lambda x: x * 9}, np.full(len(X), 48))
