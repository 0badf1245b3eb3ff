"""Compares models: quality, agreement with the teacher, size and speed."""

from keras_distill.evaluation.compare import compare

__all__ = ["compare"]
