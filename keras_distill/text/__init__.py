"""Texts for teacher and student: loading, augmentation, vocabularies, batches."""

from keras_distill.text.augmentation.masking import augment
from keras_distill.text.augmentation.nearest_words import augment_with_nearest_words
from keras_distill.text.batches.batching import batch_by_length
from keras_distill.text.reading.examples import Examples
from keras_distill.text.reading.loading import from_lists
from keras_distill.text.reading.loading import read_lines
from keras_distill.text.reading.loading import read_table
from keras_distill.text.reading.tfds import load_tfds
from keras_distill.text.vocabularies.word_pieces import WordPieceVocabulary
from keras_distill.text.vocabularies.word_vectors import copy_embeddings
from keras_distill.text.vocabularies.word_vectors import load_vectors
from keras_distill.text.vocabularies.words import WordVocabulary

__all__ = [
    "Examples",
    "WordPieceVocabulary",
    "WordVocabulary",
    "augment",
    "augment_with_nearest_words",
    "batch_by_length",
    "copy_embeddings",
    "from_lists",
    "load_tfds",
    "load_vectors",
    "read_lines",
    "read_table",
]
