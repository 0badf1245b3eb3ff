"""Computations that work in 8 bits, and 8-bit rounding for training."""
