"""Small text models: a BiLSTM, a convolutional network and a transformer."""

import keras

from keras_distill._arguments.checks import check_choice
from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_rate
from keras_distill._arguments.checks import check_sizes
from keras_distill._arguments.imports import import_module
from keras_distill.layers.padding import MeanOfTokens
from keras_distill.layers.padding import ZeroPadding
from keras_distill.layers.positions import PositionEmbedding
from keras_distill.students.texts.embedding import token_embedding
from keras_distill.students.texts.task import TextTask
from keras_distill.students.texts.task import check_sequence_length

_POOLINGS = ("mean", "first")
_NORM_EPSILON = 1e-6


def bilstm(
    vocabulary,
    num_classes,
    *,
    embedding_dim=None,
    embeddings=None,
    trainable_embeddings=True,
    units=150,
    dense_units=200,
    embedding_dropout=0.0,
    dropout=0.0,
    pairs=False,
    per_word=False,
    sequence_length=None,
    unroll=False,
    name="bilstm",
):
    """A bidirectional LSTM of one layer over word or piece embeddings.

    ```
    h = [last state forward, last state backward]       (per_word: the states at the word)
    logits = dense(dropout(relu(dense(h))))
    ```

    Padding never changes the output. Objectives can tap the layers "embeddings", "bilstm" and
    "features".

    Args:
        vocabulary: A vocabulary with a length, or the number of its tokens; id 0 is padding.
        num_classes: Number of classes; 1 for regression.
        embedding_dim: Width of the embeddings. Defaults to the width of `embeddings`; give
            one of the two.
        embeddings: The initial matrix, (len(vocabulary), embedding_dim).
        trainable_embeddings: Whether the embeddings train. Defaults to True.
        units: Width of the LSTM in each direction.
        dense_units: Width of the hidden layer after the LSTM.
        embedding_dropout: Dropout rate of the embeddings, in [0, 1).
        dropout: Dropout rate before the logits, in [0, 1).
        pairs: True for pairs of texts: ids (batch, 2, length). The same LSTM reads both, and
            h = [h1, h2, |h1 - h2|, h1 * h2].
        per_word: True for logits per word: inputs `{"token_ids": (batch, length),
            "word_starts": (batch, words)}`, where word_starts holds the position of each
            word's first token and 0 for padding; logits (batch, words, num_classes) with
            the Keras mask `word_starts > 0`. A label of -1 for padding needs a loss with
            `ignore_class=-1`.
        sequence_length: A fixed number of ids and of words. Defaults to None, any number.
        unroll: Whether the loop over the text is unrolled, which needs a `sequence_length`:
            MediaPipe's tasks do not accept a TFLite file with a loop. Defaults to False.
        name: Name of the model.

    Returns:
        A Functional `keras.Model` from int32 ids (batch, length) to logits
        (batch, num_classes).

    Raises:
        ValueError: If an argument does not fit.

    Example:

    >>> student = bilstm(1000, 2, embedding_dim=16, units=8, dense_units=8)
    >>> student.output_shape
    (None, 2)

    Reference: Tang et al. 2019, https://arxiv.org/abs/1903.12136. Deviations: the paper
    has a frozen and a trained copy of the embeddings (two channels), here there is one;
    dropout is optional here.
    """
    num_classes = check_integer("num_classes", num_classes)
    units = check_integer("units", units)
    dense_units = check_integer("dense_units", dense_units)
    embedding_dropout = check_rate("embedding_dropout", embedding_dropout, with_one=False)
    dropout = check_rate("dropout", dropout, with_one=False)
    if unroll and sequence_length is None:
        raise ValueError("unroll=True needs a fixed length. Received: sequence_length=None")
    task = TextTask(sequence_length, pairs=pairs, per_word=per_word)
    x = token_embedding(vocabulary, embedding_dim, embeddings, trainable_embeddings)(task.token_ids)
    x = keras.layers.Dropout(embedding_dropout, name="embeddings")(x)
    lstm = keras.layers.LSTM(units, return_sequences=per_word, unroll=unroll)
    x = keras.layers.Bidirectional(lstm, name="bilstm")(x, mask=task.token_mask)
    x = task.features(x)
    x = keras.layers.Dense(dense_units, activation="relu", name="hidden")(x)
    return task.model(x, num_classes, dropout, name)


def text_cnn(
    vocabulary,
    num_classes,
    *,
    embedding_dim=None,
    embeddings=None,
    trainable_embeddings=True,
    filters=100,
    kernel_sizes=(3, 4, 5),
    embedding_dropout=0.0,
    dropout=0.5,
    pairs=False,
    per_word=False,
    sequence_length=None,
    name="text_cnn",
):
    """Convolutions of several widths over the embeddings, each followed by a maximum.

    ```
    h = [max over the text of relu(conv_k(x)) for k in kernel_sizes]
    logits = dense(dropout(h))
    ```

    Padding never changes the output: it is treated as zeros, like positions beyond the
    ends. Objectives can tap the layers "embeddings", "conv_3", ... and "features".

    Args:
        vocabulary: A vocabulary with a length, or the number of its tokens; id 0 is padding.
        num_classes: Number of classes; 1 for regression.
        embedding_dim: Width of the embeddings. Defaults to the width of `embeddings`; give
            one of the two.
        embeddings: The initial matrix, (len(vocabulary), embedding_dim).
        trainable_embeddings: Whether the embeddings train. Defaults to True.
        filters: Number of filters of each width.
        kernel_sizes: Widths of the convolutions in tokens, without repetition.
        embedding_dropout: Dropout rate of the embeddings, in [0, 1).
        dropout: Dropout rate before the logits, in [0, 1).
        pairs: As in `bilstm`.
        per_word: As in `bilstm`; h is then the convolutions' output at the word, without
            the maximum.
        sequence_length: A fixed number of ids and of words. Defaults to None, any number.
        name: Name of the model.

    Returns:
        A Functional `keras.Model` from int32 ids (batch, length) to logits
        (batch, num_classes).

    Raises:
        ValueError: If an argument does not fit.

    Example:

    >>> student = text_cnn(1000, 2, embedding_dim=16, filters=8)
    >>> student.output_shape
    (None, 2)

    Reference: Kim 2014, https://arxiv.org/abs/1408.5882. Deviations: convolutions extend
    beyond the ends of the text, so that no text is too short; one channel; no constraint on
    the norm of the last layer's weights.
    """
    kernel_sizes = _check_kernel_sizes(kernel_sizes)
    num_classes = check_integer("num_classes", num_classes)
    filters = check_integer("filters", filters)
    embedding_dropout = check_rate("embedding_dropout", embedding_dropout, with_one=False)
    dropout = check_rate("dropout", dropout, with_one=False)
    task = TextTask(sequence_length, pairs=pairs, per_word=per_word)
    x = token_embedding(vocabulary, embedding_dim, embeddings, trainable_embeddings)(task.token_ids)
    x = keras.layers.Dropout(embedding_dropout, name="embeddings")(x)
    x = ZeroPadding(name="zero_padding")(x, task.token_mask)
    x = keras.layers.Concatenate(name="convolutions")(
        [
            keras.layers.Conv1D(
                filters, size, padding="same", activation="relu", name=f"conv_{size}"
            )(x)
            for size in kernel_sizes
        ]
    )
    if not per_word:
        # After a ReLU, 0 is the smallest value, so padding is never the maximum.
        x = ZeroPadding(name="zero_windows")(x, task.token_mask)
        x = keras.layers.GlobalMaxPooling1D(name="max_over_text")(x)
    return task.model(task.features(x), num_classes, dropout, name)


def transformer(
    vocabulary,
    num_classes,
    *,
    hidden_dim=128,
    num_layers=2,
    num_heads=2,
    intermediate_dim=None,
    embedding_dim=None,
    embeddings=None,
    trainable_embeddings=True,
    max_sequence_length=512,
    pooling="mean",
    dropout=0.1,
    pairs=False,
    per_word=False,
    sequence_length=None,
    name="transformer",
):
    """A small transformer encoder like BERT's, with learned positions.

    ```
    x = norm(token embedding + position embedding)
    x = transformer_layer_i(x)                          i = 0 ... num_layers - 1
    logits = dense(dropout(mean over the tokens of x))
    ```

    Padding never changes the output. Objectives can tap the layers "embeddings",
    "transformer_layer_0", ..., whose outputs are the hidden states and carry a Keras mask,
    so that losses between hidden states leave padding out; and
    "transformer_layer_0/self_attention_layer/attention_scores".

    Args:
        vocabulary: A vocabulary with a length, or the number of its tokens; id 0 is padding.
        num_classes: Number of classes; 1 for regression.
        hidden_dim: Width of the hidden states.
        num_layers: Number of layers.
        num_heads: Number of attention heads, a divisor of `hidden_dim`.
        intermediate_dim: Width of the hidden layer of the feed-forward networks. Defaults
            to 4 * hidden_dim.
        embedding_dim: Width of the token embeddings. Defaults to that of `embeddings`, or
            to `hidden_dim`; if it is not `hidden_dim`, a linear layer follows.
        embeddings: The initial matrix, (len(vocabulary), embedding_dim).
        trainable_embeddings: Whether the token embeddings train. Defaults to True.
        max_sequence_length: Number of positions. Longer texts raise an error.
        pooling: "mean" of the tokens, or "first" token. Defaults to "mean".
        dropout: Dropout rate of embeddings, attention, layers and head, in [0, 1).
        pairs: As in `bilstm`.
        per_word: As in `bilstm`; the head then reads the hidden state at the word.
        sequence_length: A fixed number of ids and of words. Defaults to None, any number.
        name: Name of the model.

    Returns:
        A Functional `keras.Model` from int32 ids (batch, length) to logits
        (batch, num_classes).

    Raises:
        ValueError: If an argument does not fit.

    Example:

    >>> student = transformer(1000, 2, hidden_dim=16, num_layers=1, num_heads=2)
    >>> student.output_shape
    (None, 2)

    Reference: Devlin et al. 2019, https://arxiv.org/abs/1810.04805. Deviations: no segment
    embeddings and no dense layer after the first token.
    """
    if embeddings is None and embedding_dim is None:
        embedding_dim = hidden_dim
    if intermediate_dim is None:
        intermediate_dim = 4 * hidden_dim
    num_classes = check_integer("num_classes", num_classes)
    hidden_dim = check_integer("hidden_dim", hidden_dim)
    num_layers = check_integer("num_layers", num_layers)
    num_heads = check_integer("num_heads", num_heads)
    intermediate_dim = check_integer("intermediate_dim", intermediate_dim)
    max_sequence_length = check_integer("max_sequence_length", max_sequence_length)
    dropout = check_rate("dropout", dropout, with_one=False)
    sequence_length = check_sequence_length(sequence_length, max_sequence_length)
    _check_transformer(hidden_dim, num_heads, pooling)
    keras_hub = import_module("keras_hub")
    task = TextTask(sequence_length, pairs=pairs, per_word=per_word)
    x = token_embedding(vocabulary, embedding_dim, embeddings, trainable_embeddings)(task.token_ids)
    if x.shape[-1] != hidden_dim:
        x = keras.layers.Dense(hidden_dim, name="embedding_projection")(x)
    x = PositionEmbedding(max_sequence_length, name="position_embedding")([x, task.token_mask])
    x = keras.layers.LayerNormalization(epsilon=_NORM_EPSILON, name="embeddings_norm")(x)
    x = keras.layers.Dropout(dropout, name="embeddings")(x)
    for i in range(num_layers):
        x = keras_hub.layers.TransformerEncoder(
            intermediate_dim,
            num_heads,
            dropout=dropout,
            activation="gelu",
            layer_norm_epsilon=_NORM_EPSILON,
            name=f"transformer_layer_{i}",
        )(x)
    if not per_word:
        x = MeanOfTokens(name="mean")(x, task.token_mask) if pooling == "mean" else x[:, 0]
    return task.model(task.features(x), num_classes, dropout, name)


def _check_kernel_sizes(kernel_sizes):
    message = "kernel_sizes must be a list of different widths, such as (3, 4, 5)."
    sizes = check_sizes("kernel_sizes", kernel_sizes, message=message)
    if len(set(sizes)) < len(sizes):
        raise ValueError(f"{message} Received: kernel_sizes={kernel_sizes!r}")
    return sizes


def _check_transformer(hidden_dim, num_heads, pooling):
    if hidden_dim % num_heads:
        raise ValueError(
            "num_heads must divide hidden_dim. "
            f"Received: hidden_dim={hidden_dim}, num_heads={num_heads}"
        )
    check_choice("pooling", pooling, _POOLINGS)
