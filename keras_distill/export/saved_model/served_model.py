"""A server's answers: a model's outputs, probabilities and the names of classes."""

import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import check_integer
from keras_distill._keras.output_domain import LOGITS
from keras_distill.export.classifier import check_class_names
from keras_distill.export.classifier import check_classifier
from keras_distill.export.classifier import classifier_domain
from keras_distill.export.signature import NamedModel

_PROBABILITIES = ("probabilities", "top_scores")
# float16 rounds smaller probabilities to 0.
_SMALLEST = 1e-7


class ServedModel(NamedModel):
    """A `NamedModel` that also gives probabilities and, with class_names, the best classes.

    A model with one output (batch, classes) of logits gets the outputs "logits" and
    "probabilities"; a model that ends in softmax gets "probabilities"; with class_names there are
    also "label" (batch,), "top_labels" and "top_scores" (batch, top_k). Other models
    keep their outputs and names.

    Args:
        model: A `keras.Model`, as for `NamedModel`.
        class_names: Names of the classes, or None.
        top_k: Number of best classes. Defaults to all, at most 5.

    Raises:
        ValueError: If there are class_names, and the model is no classifier of as many classes.
    """

    def __init__(self, model, class_names=None, top_k=None):
        super().__init__(model)
        self._domain = classifier_domain(model)
        if class_names is not None:
            check_class_names(class_names)
            check_classifier(model, class_names)
        self._class_names = class_names
        self._top_k = _check_top_k(top_k, class_names)

    def __call__(self, inputs):
        outputs = super().__call__(inputs)
        if self._domain is None:
            return outputs
        (values,) = outputs.values()
        if self._domain == LOGITS:
            outputs = {"logits": values, "probabilities": tf.nn.softmax(values)}
        else:
            outputs = {"probabilities": values}
        if self._class_names is not None:
            outputs.update(self._best(outputs["probabilities"]))
        return outputs

    def comparable(self, outputs):
        """Probabilities as logarithms, because differences of small probabilities are tiny.

        With a thousand classes, each has a probability of about 1/1000, and any two models agree
        within that.
        """
        if self._domain is None:
            return outputs
        return {
            name: np.log(np.maximum(values, _SMALLEST)) if name in _PROBABILITIES else values
            for name, values in outputs.items()
        }

    def with_ties(self, outputs, expected, limit):
        """Outputs with the expected labels wherever classes tie in Keras's probabilities.

        Args:
            outputs, expected: As `comparable` gives them.
            limit: Largest difference between the logarithms of probabilities that tie.
        """
        if self._class_names is None:
            return outputs
        classes = {label.encode("utf-8"): place for place, label in enumerate(self._class_names)}
        outputs = dict(outputs)
        for name in ("label", "top_labels"):
            labels = outputs[name] = np.array(outputs[name], object)
            for place in map(tuple, np.argwhere(labels != expected[name])):
                row, rank = place[0], place[1] if len(place) > 1 else 0
                score = expected["probabilities"][row, classes[labels[place]]]
                if abs(score - expected["top_scores"][row, rank]) <= limit:
                    labels[place] = expected[name][place]
        return outputs

    def _best(self, probabilities):
        scores, places = tf.math.top_k(probabilities, self._top_k)
        labels = tf.gather(tf.constant(list(self._class_names)), places)
        return {"label": labels[:, 0], "top_labels": labels, "top_scores": scores}


def _check_top_k(top_k, class_names):
    """Returns the number of best classes to serve; None means at most 5."""
    if top_k is None:
        return min(5, len(class_names or ()))
    if class_names is None:
        raise ValueError(f"top_k needs class_names. Received: top_k={top_k!r}, class_names=None")
    top_k = check_integer("top_k", top_k)
    if top_k > len(class_names):
        raise ValueError(
            f"top_k must be at most {len(class_names)}, the number of classes. Received: {top_k=}"
        )
    return top_k
