"""Tokenized batches of texts of like length."""
