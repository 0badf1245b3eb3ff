"""What KerasHub knows and has no public name for."""


def intermediate_layer(layer):
    """The layer between attention and output of a KerasHub transformer layer, or None.

    Its activation is that of the transformer, which a TransformerEncoder takes and never tells.
    Should `_feedforward_intermediate_dense` go, `get_config()["activation"]` tells it where a
    layer's configuration has it.

    Args:
        layer: Any layer.
    """
    return getattr(layer, "_feedforward_intermediate_dense", None)


def read_preset_file(preset, name):
    """A JSON file of a preset, a dict: KerasHub's own way from a handle or folder to the file.

    Should `load_json` go, `keras_hub.models.Backbone.from_preset` alone can read a handle, and
    what its configuration leaves out must be asked of the user.

    Args:
        preset: A handle or a folder, as for `from_preset`.
        name: The file's name.
    """
    from keras_hub.src.utils.preset_utils import load_json

    return load_json(preset, name)
