"""The initial token embeddings of a text student."""

import keras
import numpy as np

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import is_integer


def token_embedding(vocabulary, embedding_dim, embeddings, trainable):
    """Returns a built `keras.layers.Embedding` named "token_embedding".

    Args:
        vocabulary: A vocabulary with a length, or the number of its tokens.
        embedding_dim: Number of columns, or None for that of the matrix.
        embeddings: The initial matrix, or None for random numbers.
        trainable: Whether the embeddings train.

    Raises:
        ValueError: If an argument does not fit.
    """
    num_tokens = _num_tokens(vocabulary)
    if embeddings is None:
        if embedding_dim is None:
            raise ValueError(
                "embedding_dim or embeddings must be given. Received: embedding_dim=None, "
                "embeddings=None"
            )
    else:
        embeddings = _check_matrix(embeddings, num_tokens, embedding_dim)
        embedding_dim = embeddings.shape[1]
    embedding_dim = check_integer("embedding_dim", embedding_dim)
    layer = keras.layers.Embedding(
        num_tokens, embedding_dim, trainable=trainable, name="token_embedding"
    )
    layer.build((None, None))
    if embeddings is not None:
        layer.embeddings.assign(embeddings)
    return layer


def _num_tokens(vocabulary):
    if not is_integer(vocabulary) and not hasattr(vocabulary, "__len__"):
        raise ValueError(
            "vocabulary must have a length, or be the number of its tokens. "
            f"Received: vocabulary={vocabulary!r}"
        )
    num_tokens = int(vocabulary) if is_integer(vocabulary) else len(vocabulary)
    if num_tokens < 2:
        raise ValueError(
            "vocabulary must have at least two tokens, of which id 0 is padding. "
            f"Received: a vocabulary of {num_tokens}"
        )
    return num_tokens


def _check_matrix(embeddings, num_tokens, embedding_dim):
    matrix = np.asarray(embeddings, dtype="float32")
    fits = matrix.ndim == 2 and matrix.shape[0] == num_tokens
    if not fits or embedding_dim not in (None, matrix.shape[-1]):
        columns = "any number" if embedding_dim is None else embedding_dim
        raise ValueError(
            "embeddings must have one row per token and embedding_dim columns, "
            f"({num_tokens}, {columns}). Received: embeddings of shape {matrix.shape}"
        )
    if not np.isfinite(matrix).all():
        raise ValueError("embeddings must be finite. Received: embeddings with NaN or infinity")
    return matrix
