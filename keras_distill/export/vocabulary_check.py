"""Whether a vocabulary is that of a model, as far as their sizes tell."""

import keras

from keras_distill.text import Vocabulary


def check_vocabulary(name, preprocessor, model):
    """Raises `ValueError` where what a preprocessor knows does not fit a model's embeddings.

    Args:
        name: What the argument is called.
        preprocessor: A layer or model that has a `Vocabulary` or a tokenizer of KerasHub in it.
        model: The model that reads its ids.
    """
    layers = model._flatten_layers()
    sizes = {layer.input_dim for layer in layers if isinstance(layer, keras.layers.Embedding)}
    if not sizes or not isinstance(preprocessor, keras.layers.Layer):
        return
    for layer in preprocessor._flatten_layers():
        if isinstance(layer, Vocabulary):
            num_tokens, fits = len(layer), len(layer) in sizes
        elif callable(getattr(layer, "vocabulary_size", None)):
            # Embeddings of pretrained models may have rows that no token has.
            num_tokens = layer.vocabulary_size()
            fits = num_tokens <= max(sizes)
        else:
            continue
        if not fits:
            raise ValueError(
                f"{name} must be the one that the model was taught with. Received: a vocabulary of "
                f"{num_tokens} tokens for embeddings of {sorted(sizes)}."
            )
