"""Writes a trained Keras model as a SavedModel or a TFLite file, checked against Keras."""

from keras_distill.export.saved_model.serving import serving_command
from keras_distill.export.tflite.metadata import ImageMetadata
from keras_distill.export.tflite.metadata import TextMetadata

__all__ = [
    "ImageMetadata",
    "TextMetadata",
    "serving_command",
]
