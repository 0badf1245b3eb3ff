"""Vocabularies: learned, of words, of pieces, and their vectors."""
