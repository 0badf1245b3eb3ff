"""Parts of KerasHub without a public name."""

import contextlib


def intermediate_layer(layer):
    """The layer between attention and output of a KerasHub transformer layer, or None.

    It has the activation of the transformer, which a TransformerEncoder takes but does not expose.
    If `_feedforward_intermediate_dense` is removed, `get_config()["activation"]` has the
    activation, unless a layer's configuration lacks it.

    Args:
        layer: Any layer.
    """
    return getattr(layer, "_feedforward_intermediate_dense", None)


def read_preset_file(preset, name):
    """Reads a JSON file of a preset into a dict; KerasHub finds the file of a handle or folder.

    If `load_json` is removed, only `keras_hub.models.Backbone.from_preset` can read a handle, and
    the user must give settings that its configuration lacks.

    Args:
        preset: A handle or a folder, as for `from_preset`.
        name: The file's name.
    """
    from keras_hub.src.utils.preset_utils import load_json

    return load_json(preset, name)


@contextlib.contextmanager
def tokenizer_in_graph(preprocessor):
    """Makes the model of a SentencePiece tokenizer anew, within the graph that is being traced.

    The model that the tokenizer has belongs to TensorFlow's cache of eager kernels, which
    `keras.utils.set_random_seed` empties; a graph that reads it fails from then on. If
    `_set_proto_tf` is removed, nothing is made anew, and seeds must be set before a tokenizer is
    made.

    Args:
        preprocessor: Any preprocessor; nothing is done for those without SentencePiece.
    """
    tokenizer = getattr(preprocessor, "tokenizer", None)
    if not hasattr(tokenizer, "_set_proto_tf"):
        yield
        return
    before = tokenizer._sentence_piece
    try:
        tokenizer._set_proto_tf(tokenizer.proto)
        yield
    finally:
        tokenizer._sentence_piece = before
