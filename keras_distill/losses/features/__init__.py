"""Losses between hidden features of teacher and student."""
