"""Computations that work in 8 bits, and 8-bit rounding for training."""

from keras_distill.quantization.aware_training import quantization_aware
from keras_distill.quantization.calls import int8_calls

__all__ = [
    "int8_calls",
    "quantization_aware",
]
