"""Losses between the outputs of teacher and student."""
