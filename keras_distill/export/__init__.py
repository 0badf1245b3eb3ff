"""Writes a trained Keras model as a SavedModel or a TFLite file, checked against Keras."""

from keras_distill.export.metadata import ImageMetadata
from keras_distill.export.metadata import TextMetadata
from keras_distill.export.saved_model import export_saved_model
from keras_distill.export.serving import serving_command
from keras_distill.export.tflite import TFLiteReport
from keras_distill.export.tflite import export_tflite

__all__ = [
    "ImageMetadata",
    "TFLiteReport",
    "TextMetadata",
    "export_saved_model",
    "export_tflite",
    "serving_command",
]
