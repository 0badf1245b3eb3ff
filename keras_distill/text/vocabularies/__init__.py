"""Vocabularies of words and word pieces, how to learn them, and word vectors."""
