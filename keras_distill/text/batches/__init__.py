"""Tokenized batches of texts of similar length."""
