"""A classifier of texts in two parts: one makes ids, in the input pipeline too; one has weights."""

import keras


@keras.saving.register_keras_serializable(package="keras_distill")
class TextClassifier(keras.Model):
    """A Functional model from strings to logits, of a "preprocessor" and a "classifier".

    Its parts are a layer and a model with its own inputs, so that texts can be tokenized once,
    and batched with others of similar length. `in_two_parts` makes one.

    Attributes:
        preprocessor: Layer from strings to the classifier's inputs, a dict.
        classifier: `keras.Model` from these inputs to logits. It has all weights.
    """

    @property
    def preprocessor(self):
        return self.get_layer("preprocessor")

    @property
    def classifier(self):
        return self.get_layer("classifier")


def in_two_parts(texts, preprocessor, classifier, name=None):
    """Joins the parts of a `TextClassifier`.

    Args:
        texts: The symbolic strings, a `keras.Input`.
        preprocessor: Layer of the name "preprocessor", from strings to the classifier's inputs.
        classifier: `keras.Model` of the name "classifier".
        name: Name of the model.
    """
    return TextClassifier(inputs=texts, outputs=classifier(preprocessor(texts)), name=name)
