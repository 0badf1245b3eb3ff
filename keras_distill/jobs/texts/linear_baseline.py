"""The simplest baseline of a text job: TF-IDF and a linear model."""

import dataclasses

import numpy as np

from keras_distill._arguments.imports import import_module

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
    # Imported here: `import keras_distill` would take a quarter longer.
    text = import_module("sklearn.feature_extraction.text")
    pipeline = import_module("sklearn.pipeline")
    selection = import_module("sklearn.model_selection")
    shared = {"sublinear_tf": True, "max_features": _MOST_FEATURES}
    words = text.TfidfVectorizer(token_pattern=_TOKEN, ngram_range=(1, 2), **shared)
    characters = text.TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), **shared)
    classifier = import_module("sklearn.svm").LinearSVC(random_state=seed)
    model = pipeline.make_pipeline(pipeline.make_union(words, characters), classifier)
    if np.bincount(train.labels, minlength=num_classes).min() >= 3:
        folds = selection.StratifiedKFold(3, shuffle=True, random_state=seed)
        model = selection.GridSearchCV(model, {"linearsvc__C": _REGULARISATIONS}, cv=folds)
    model.fit(train.texts, train.labels)
    best = getattr(model, "best_estimator_", model)[-1]
    accuracy = float(np.mean(model.predict(test.texts) == test.labels))
    return LinearBaseline(accuracy, best.coef_.size + best.intercept_.size)
