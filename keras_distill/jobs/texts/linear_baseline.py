"""The simplest baseline of a text job: TF-IDF and a linear model."""

import dataclasses

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC

# A word, a number, or marks: no text is without one.
_TOKEN = r"(?u)\w+|[^\w\s]+"
_MOST_FEATURES = 50_000
_REGULARISATIONS = (0.1, 1.0, 10.0)
# Texts times classes; beyond, the baseline would take longer than the job.
_LARGEST = 10_000_000


@dataclasses.dataclass(frozen=True)
class LinearBaseline:
    """What TF-IDF and a linear model reach with the labels of a job.

    Attributes:
        accuracy: Share of the test texts that it gets right.
        num_parameters: Number of its weights.
    """

    accuracy: float
    num_parameters: int


def linear_baseline(train, test, seed):
    """Trains a linear support vector machine on the TF-IDF of words, word pairs and characters.

    Args:
        train: Labelled `Examples`. Three-fold cross-validation on them chooses the
            regularisation out of 0.1, 1 and 10; with fewer than three texts in a class it is 1.
        test: Labelled `Examples` with the same classes.
        seed: Seed of the folds and of the solver.

    Returns:
        A `LinearBaseline`, or None if texts times classes exceed ten million.
    """
    num_classes = len(train.class_names)
    if len(train) * num_classes > _LARGEST:
        return None
    model = make_pipeline(
        make_union(
            TfidfVectorizer(
                sublinear_tf=True,
                token_pattern=_TOKEN,
                ngram_range=(1, 2),
                max_features=_MOST_FEATURES,
            ),
            TfidfVectorizer(
                sublinear_tf=True,
                analyzer="char_wb",
                ngram_range=(2, 4),
                max_features=_MOST_FEATURES,
            ),
        ),
        LinearSVC(C=1.0, random_state=seed),
    )
    if np.bincount(train.labels, minlength=num_classes).min() >= 3:
        folds = StratifiedKFold(3, shuffle=True, random_state=seed)
        model = GridSearchCV(model, {"linearsvc__C": _REGULARISATIONS}, cv=folds)
    model.fit(train.texts, train.labels)
    best = getattr(model, "best_estimator_", model)[-1]
    accuracy = float(np.mean(model.predict(test.texts) == test.labels))
    return LinearBaseline(accuracy, best.coef_.size + best.intercept_.size)
