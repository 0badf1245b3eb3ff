"""Builds the students of a job with texts, and prepares them for export."""

from keras_distill.students import bilstm
from keras_distill.students import text_cnn
from keras_distill.students import transformer

KINDS = ("bilstm", "text_cnn", "transformer")


def make_student(kind, vocabulary, num_classes, dropout, sequence_length=None):
    """Builds a student.

    Args:
        kind: One of `KINDS`.
        vocabulary: The student's vocabulary.
        num_classes: Number of logits.
        dropout: Dropout rate; embeddings have half of it.
        sequence_length: A fixed number of ids, for a file that apps run; loops are then unrolled.
    """
    rates = {"dropout": dropout, "embedding_dropout": dropout / 2}
    if kind == "bilstm":
        return bilstm(
            vocabulary,
            num_classes,
            embedding_dim=64,
            units=100,
            sequence_length=sequence_length,
            unroll=sequence_length is not None,
            **rates,
        )
    if kind == "text_cnn":
        return text_cnn(
            vocabulary,
            num_classes,
            embedding_dim=64,
            filters=128,
            kernel_sizes=(1, 2, 3),
            sequence_length=sequence_length,
            **rates,
        )
    return transformer(
        vocabulary,
        num_classes,
        max_sequence_length=vocabulary.sequence_length,
        dropout=dropout,
        sequence_length=sequence_length,
    )


def for_export(kind, student, vocabulary, num_classes):
    """The student with a fixed length and without loops, as MediaPipe needs it."""
    fixed = make_student(kind, vocabulary, num_classes, 0.0, vocabulary.sequence_length)
    fixed.set_weights(student.get_weights())
    return fixed
