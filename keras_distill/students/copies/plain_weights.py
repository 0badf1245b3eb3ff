"""Weights that are what the layer computes with, so that others can be made of them."""


def has_plain_weights(layer):
    """Whether a layer computes with its kernel or table as it is: no LoRA, not quantized."""
    has_lora = getattr(layer, "lora_enabled", False)
    return not has_lora and getattr(layer, "quantization_mode", None) is None
