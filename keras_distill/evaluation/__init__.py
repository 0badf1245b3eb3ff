"""Compares models: how good, how like the teacher, how large, how fast."""

from keras_distill import metrics
from keras_distill.evaluation.compare import compare
from keras_distill.evaluation.comparison import Comparison

__all__ = ["Comparison", "compare", "metrics"]
