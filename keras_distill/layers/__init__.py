"""Layers that teachers and students share."""

from keras_distill.layers.class_names import ClassNames
from keras_distill.layers.class_names import with_class_names

__all__ = ["ClassNames", "with_class_names"]
