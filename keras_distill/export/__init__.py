"""Writes a trained Keras model as a SavedModel or a TFLite file, checked against Keras."""

from keras_distill.export.saved_model.export import export_saved_model
from keras_distill.export.saved_model.serving import serving_command
from keras_distill.export.tflite.description import TFLiteDescription
from keras_distill.export.tflite.export import TFLiteReport
from keras_distill.export.tflite.export import export_tflite
from keras_distill.export.tflite.metadata import ImageMetadata
from keras_distill.export.tflite.metadata import TextMetadata
from keras_distill.export.timing.benchmark import LatencyReport
from keras_distill.export.timing.benchmark import benchmark

__all__ = [
    "ImageMetadata",
    "LatencyReport",
    "TFLiteDescription",
    "TFLiteReport",
    "TextMetadata",
    "benchmark",
    "export_saved_model",
    "export_tflite",
    "serving_command",
]
