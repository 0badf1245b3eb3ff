"""Measures of models that tag words: a classifier's measures over words, and F1 of spans."""

import dataclasses

import numpy as np

from keras_distill.evaluation.model_runs import log_probabilities
from keras_distill.evaluation.statistics import Measure
from keras_distill.evaluation.statistics import OfSums
from keras_distill.evaluation.tasks.classification import Classification


class Tagging:
    """Sentences with a tag for each word. Resamples draw whole sentences.

    Args:
        labels: List of int arrays `(words,)`, one for each sentence.
        tags: Names of the tags, such as "O", "B-place", "I-place", or None.
    """

    name = "tagging"

    def __init__(self, labels, tags):
        labels_of_all = np.concatenate(labels)
        # Words with the label -1 (no label) do not count.
        self._kept = labels_of_all >= 0
        self.labels = labels_of_all[self._kept]
        self._tags = tags
        sentences = np.repeat(np.arange(len(labels)), [len(row) for row in labels])
        self._sentences = sentences[self._kept]
        words = np.concatenate([np.arange(len(row)) for row in labels])
        # For each row of the answers, its sentence and its place in the sentence.
        self.places = np.stack([self._sentences, words[self._kept]], axis=1)
        self._starts = np.searchsorted(self._sentences, np.arange(1, len(labels)))
        self._words = Classification(self.labels)

    def answers(self, outputs, domain):
        """Log probabilities of all sentences' words, `(words, tags)`."""
        return log_probabilities(np.concatenate(outputs)[self._kept], domain)

    def measures(self, answers):
        """The measures of the words, and span_f1 if the tags begin spans with B-."""
        return self._span_measures(answers) + self._of_words(self._words.measures(answers))

    def teacher_measures(self, teacher, answers):
        """agreement and fidelity, word by word."""
        return self._of_words(self._words.teacher_measures(teacher, answers))

    def _of_words(self, measures):
        # The words of a sentence depend on each other, so that no closed form holds for them.
        return [
            dataclasses.replace(m, statistic=m.statistic.of_groups(self._sentences), is_right=None)
            for m in measures
        ]

    def _span_measures(self, answers):
        if self._tags is None or not any(tag.startswith("B-") for tag in self._tags):
            return []
        tags = np.array(self._tags)
        sentences = (
            np.split(tags[row], self._starts) for row in (self.labels, answers.argmax(axis=1))
        )
        terms = []
        for true, found in zip(*(map(spans, rows) for rows in sentences)):
            terms.append([len(true & found), len(true), len(found)])
        statistic = OfSums(np.array(terms, "float64"), _micro_f1)
        return [Measure("span_f1", statistic, is_share=True, meaning="F1 of whole entities")]


def spans(tags):
    """Spans of a list of BIO tags: a set of `(first word, last word + 1, type)`.

    An I- tag that continues nothing begins a span, as in CoNLL's evaluation.

    Example:

    >>> sorted(spans(["B-place", "I-place", "O", "B-person"]))
    [(0, 2, 'place'), (3, 4, 'person')]
    """
    found, start = set(), None
    for place, tag in enumerate([*tags, "O"]):
        goes_on = tag.startswith("I-") and start is not None and tag[2:] == tags[start][2:]
        if start is not None and not goes_on:
            found.add((start, place, str(tags[start][2:])))
            start = None
        if start is None and tag != "O":
            start = place
    return found


def _micro_f1(sums):
    right, true, found = sums.T
    total = true + found
    return np.divide(2 * right, total, out=np.zeros_like(total), where=total > 0)
