"""Checks that a layer computes with its stored weights, so that others can be derived from them."""


def has_plain_weights(layer):
    """Whether a layer computes with its kernel or table unchanged: no LoRA, not quantized."""
    has_lora = getattr(layer, "lora_enabled", False)
    return not has_lora and getattr(layer, "quantization_mode", None) is None
