"""Inputs and heads of text students: for one text, a pair of texts, or each word."""

import keras
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill.layers.first_pieces import FirstPieces
from keras_distill.layers.padding import TokenMask


class TextTask:
    """The inputs of a text student, and its head; the encoder comes between them.

    Args:
        sequence_length: Number of ids per text, None for any.
        pairs: Whether an example is a pair of texts, (batch, 2, length). One encoder
            reads both, stacked along the batch: (2 * batch, length).
        per_word: Whether each word has logits. There is then an input word_starts,
            (batch, words).
        names: Names of the inputs that the encoder reads, the ids first.

    Attributes:
        inputs: The model's inputs: the ids alone, or a dict if there are several inputs.
        token_ids: The ids that the encoder reads, (texts, length).
        token_mask: Booleans, (texts, length): True for tokens, False for padding.
    """

    def __init__(self, sequence_length, *, pairs=False, per_word=False, names=("token_ids",)):
        if pairs and per_word:
            raise ValueError(
                "pairs and per_word exclude each other: words are tagged in single texts. "
                "Received: pairs=True, per_word=True"
            )
        sequence_length = check_sequence_length(sequence_length)
        shape = (2, sequence_length) if pairs else (sequence_length,)
        inputs = {name: keras.Input(shape, dtype="int32", name=name) for name in names}
        token_ids = inputs[names[0]]
        if per_word:
            inputs["word_starts"] = keras.Input(
                (sequence_length,), dtype="int32", name="word_starts"
            )
        self._pairs = pairs
        self._word_starts = inputs.get("word_starts")
        self.inputs = inputs if len(inputs) > 1 else token_ids
        self.token_ids = StackPairs(name="stack_pairs")(token_ids) if pairs else token_ids
        self.token_mask = TokenMask(name="token_mask")(self.token_ids)

    def features(self, encoded):
        """Turns the encoder's output into features, one row for each row of logits.

        Args:
            encoded: (texts, width), or (texts, length, width) for logits per word.

        Returns:
            (batch, width); (batch, 4 * width) for pairs; (batch, words, width) per word.
        """
        if self._pairs:
            return ComparePairs(name="compare_pairs")(encoded)
        if self._word_starts is not None:
            return FirstPieces(name="first_pieces")(self._word_starts, encoded)
        return encoded

    def model(self, features, num_classes, dropout, name):
        """Adds dropout and the layer of the logits to the features."""
        features = keras.layers.Dropout(dropout, name="features")(features)
        # Logits are float32 under mixed precision, too: a loss on float16 logits is imprecise.
        logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(features)
        return keras.Model(self.inputs, logits, name=name)


@keras.saving.register_keras_serializable(package="keras_distill")
class StackPairs(keras.layers.Layer):
    """Stacks pairs of texts along the batch: (batch, 2, length) to (2 * batch, length)."""

    def call(self, ids):
        return ops.reshape(ids, (-1, ops.shape(ids)[2]))


@keras.saving.register_keras_serializable(package="keras_distill")
class ComparePairs(keras.layers.Layer):
    """Features of a pair of encoded texts: `[h1, h2, |h1 - h2|, h1 * h2]`.

    Call arguments:
        encoded: (2 * batch, width); the two texts of a pair follow each other.

    Returns:
        (batch, 4 * width).

    Reference: Tang et al. 2019, https://arxiv.org/abs/1903.12136, after Mou et al. 2016.
    """

    def call(self, encoded):
        pairs = ops.reshape(encoded, (-1, 2, encoded.shape[-1]))
        first, second = pairs[:, 0], pairs[:, 1]
        return ops.concatenate([first, second, ops.abs(first - second), first * second], axis=-1)


def check_sequence_length(sequence_length, max_sequence_length=None):
    """Returns a length, None or an integer from 1 to the number of positions."""
    sequence_length = check_integer("sequence_length", sequence_length, optional=True)
    if None not in (sequence_length, max_sequence_length) and (
        sequence_length > max_sequence_length
    ):
        raise ValueError(
            f"sequence_length must be at most {max_sequence_length}, the number of positions. "
            f"Received: sequence_length={sequence_length}"
        )
    return sequence_length
