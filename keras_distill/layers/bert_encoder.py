"""A KerasHub BERT, or another encoder of texts, with settings that KerasHub does not save."""

import keras

from keras_distill._keras.keras_hub import intermediate_layer
from keras_distill._keras.layers import flatten_layers


@keras.saving.register_keras_serializable(package="keras_distill")
class BertEncoder(keras.layers.Layer):
    """Runs a text encoder of KerasHub, optionally with the exact GELU or without its pooling layer.

    KerasHub's `BertBackbone` uses the tanh approximation of the GELU, as Google's first
    BERT did. Checkpoints of Hugging Face transformers with `"hidden_act": "gelu"` were
    trained with the exact function, `x * Phi(x)`. A saved backbone loses a changed
    activation, and which layers are frozen; this layer saves both.

    Args:
        model: A backbone such as `keras_hub.models.BertBackbone`, or a classifier over one. It
            is changed in place.
        exact_gelu: Whether its activation becomes the exact GELU. Defaults to False.
        pooled: Whether something reads the pooled output. If not, its layer is frozen.
            Defaults to True.

    Call arguments and result are those of the model.

    Raises:
        ValueError: If exact_gelu is True and the model has no KerasHub transformer layers.
    """

    def __init__(self, model, exact_gelu=False, pooled=True, **kwargs):
        super().__init__(**{"name": model.name, **kwargs})
        self.model = model
        self.exact_gelu = exact_gelu
        self.pooled = pooled
        if exact_gelu:
            set_exact_gelu(model)
        if not pooled and hasattr(model, "pooled_dense"):
            model.pooled_dense.trainable = False

    def build(self, input_shape):
        self.built = True

    def call(self, inputs, training=None):
        return self.model(inputs, training=training)

    def compute_output_spec(self, inputs, training=None):
        return self.model.compute_output_spec(inputs)

    def get_config(self):
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
            "exact_gelu": self.exact_gelu,
            "pooled": self.pooled,
        }

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("model")), **config)


def set_exact_gelu(model):
    """Gives the KerasHub transformer layers inside a model the exact GELU."""
    layers = _intermediate_layers(model)
    if not layers:
        raise ValueError(
            "exact_gelu is for models of keras_hub.layers.TransformerEncoder, such as "
            f"BertBackbone. Received: {model.name!r}, a {type(model).__name__} without any."
        )
    for layer in layers:
        layer.activation = keras.activations.gelu


def has_exact_gelu(model):
    """Whether all KerasHub transformer layers inside a model use the exact GELU."""
    return all(layer.activation is keras.activations.gelu for layer in _intermediate_layers(model))


def _intermediate_layers(model):
    found = map(intermediate_layer, flatten_layers(model))
    return [layer for layer in found if layer is not None]
