"""Measures of what a model does: classes, numbers, tags."""
