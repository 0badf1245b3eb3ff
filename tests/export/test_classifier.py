"""Labels of a file and the classes that a model knows by their names."""

import keras
import pytest

from keras_distill.export.classifier import check_classifier
from keras_distill.layers import with_class_names


def test_labels_contradict_the_names_in_a_model():
    """Every answer of the served model had the name of another class."""
    inputs = keras.Input((2,))
    model = with_class_names(
        keras.Model(inputs, keras.layers.Dense(3)(inputs)), ["bad", "fair", "good"]
    )
    check_classifier(model, ["bad", "fair", "good"])
    # Names in another language.
    check_classifier(model, ["schlecht", "mittel", "gut"])
    for labels in (["good", "fair", "bad"], ["bad", "good", "other"]):
        with pytest.raises(
            ValueError, match="class_names must be in the order of the model's classes"
        ):
            check_classifier(model, labels)
