"""Compares models: quality, agreement with the teacher, size and speed."""

from keras_distill import metrics
from keras_distill.evaluation.compare import compare
from keras_distill.evaluation.comparison import Comparison

__all__ = ["Comparison", "compare", "metrics"]
