"""Checks by their sizes whether a vocabulary belongs to a model."""

import keras

from keras_distill._keras.layers import flatten_layers
from keras_distill.text.vocabularies.base import Vocabulary


def check_vocabulary(name, preprocessor, model):
    """Raises `ValueError` if a preprocessor's vocabulary does not fit a model's embeddings.

    Args:
        name: Name of the argument, for the error.
        preprocessor: A layer or model that contains a `Vocabulary` or a KerasHub tokenizer.
        model: The model that reads its ids.
    """
    layers = flatten_layers(model)
    sizes = {layer.input_dim for layer in layers if isinstance(layer, keras.layers.Embedding)}
    if not sizes or not isinstance(preprocessor, keras.layers.Layer):
        return
    parts = flatten_layers(preprocessor)
    wrong = [len(layer) for layer in parts if isinstance(layer, Vocabulary)]
    if wrong:
        wrong = [num_tokens for num_tokens in wrong if num_tokens not in sizes]
    else:
        # Embeddings of pretrained models may have rows without a token.
        tokenizers = [part for part in parts if callable(getattr(part, "vocabulary_size", None))]
        wrong = [part.vocabulary_size() for part in tokenizers]
        wrong = [num_tokens for num_tokens in wrong if num_tokens > max(sizes)]
    if wrong:
        raise ValueError(
            f"{name} must be the one that the model was taught with. Received: a vocabulary of "
            f"{wrong[0]} tokens for embeddings of {sorted(sizes)}."
        )
