"""Texts and labels, from files, lists and TFDS."""
