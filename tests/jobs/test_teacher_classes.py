"""A ready teacher's classes in the order of the data's."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_distill.jobs.teacher_classes import in_order_of_data
from keras_distill.layers import with_class_names

NAMES = ("a", "b", "c")


def classifier():
    """Says which of three numbers is the largest."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(3, use_bias=False)])
    model.set_weights([np.eye(3)])
    return model


def test_what_the_caller_says_is_still_to_be_tried():
    """A wrong order was taken as told, and taught noise with a sentence on a poor teacher."""
    model, is_told = in_order_of_data(classifier(), "t.keras", ("c", "a", "b"), NAMES)
    assert np.argmax(model(np.eye(3)), axis=1).tolist() == [2, 0, 1]
    assert not is_told


def test_one_spelling_of_a_name():
    """An é of two characters, as some terminals send it, was a class unknown to the data."""
    model, _ = in_order_of_data(
        classifier(), "t.keras", ("c", "e\u0301", "b "), ("b", "c", "\u00e9")
    )
    assert np.argmax(model(np.eye(3)), axis=1).tolist() == [1, 2, 0]


def test_a_file_says_it():
    model = with_class_names(classifier(), ["c", "a", "b"])
    model, is_told = in_order_of_data(model, "t.keras", None, NAMES)
    assert np.argmax(model(np.eye(3)), axis=1).tolist() == [2, 0, 1]
    assert is_told
    with pytest.raises(ValueError, match="must be left out for a teacher that names its classes"):
        in_order_of_data(model, "t.keras", ("b", "a", "c"), NAMES)
