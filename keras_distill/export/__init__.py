"""Writes a trained Keras model as a SavedModel or a TFLite file, checked against Keras."""

from keras_distill.export.benchmark import LatencyReport
from keras_distill.export.benchmark import benchmark
from keras_distill.export.description import TFLiteDescription
from keras_distill.export.description import describe
from keras_distill.export.metadata import ImageMetadata
from keras_distill.export.metadata import TextMetadata
from keras_distill.export.saved_model import export_saved_model
from keras_distill.export.serving import serving_command
from keras_distill.export.tflite import TFLiteReport
from keras_distill.export.tflite import export_tflite

__all__ = [
    "ImageMetadata",
    "LatencyReport",
    "TFLiteDescription",
    "TFLiteReport",
    "TextMetadata",
    "benchmark",
    "describe",
    "export_saved_model",
    "export_tflite",
    "serving_command",
]
