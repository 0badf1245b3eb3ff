"""Optimizers to fine-tune a BERT: warm-up, linear decay, and layer-wise learning rates."""

import re

import keras
from keras import ops

from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_positive
from keras_distill._arguments.checks import check_rate
from keras_distill._keras.optimizer_steps import place_of

__all__ = ["WarmupLinearDecay", "finetuning_optimizer"]

_LAYER = re.compile(r"layer_(\d+)|layer/(\d+)|encoder_layer_(\d+)")
_EMBEDDINGS = re.compile(r"embedding")


@keras.saving.register_keras_serializable(package="keras_distill")
class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly, then falls linearly to 0.

    ```
    rate(step) = peak * min((step + 1) / warmup, (num_steps - step) / (num_steps - warmup))
    warmup     = warmup_rate * num_steps
    ```

    Args:
        peak: The largest learning rate, > 0.
        num_steps: Number of optimizer steps of the whole training, >= 1.
        warmup_rate: Share of the steps in which the rate rises, in [0, 1). Defaults to 0.1.

    Example:

    >>> schedule = WarmupLinearDecay(1.0, num_steps=100, warmup_rate=0.1)
    >>> [round(float(schedule(step)), 2) for step in (0, 9, 55, 100)]
    [0.1, 1.0, 0.5, 0.0]

    Reference: Devlin et al. 2019, https://arxiv.org/abs/1810.04805, appendix A.2.
    """

    def __init__(self, peak, num_steps, warmup_rate=0.1):
        self.peak = check_positive("peak", peak)
        self.num_steps = check_integer("num_steps", num_steps)
        self.warmup_rate = check_rate("warmup_rate", warmup_rate, with_one=False)

    def __call__(self, step):
        step = ops.cast(step, "float32")
        num_warmup = self.warmup_rate * self.num_steps
        falling = (self.num_steps - step) / (self.num_steps - num_warmup)
        rising = (step + 1) / num_warmup if num_warmup else falling
        return self.peak * ops.clip(ops.minimum(rising, falling), 0, 1)

    def get_config(self):
        return {
            "peak": self.peak,
            "num_steps": self.num_steps,
            "warmup_rate": self.warmup_rate,
        }


@keras.saving.register_keras_serializable(package="keras_distill")
class LayerwiseAdamW(keras.optimizers.AdamW):
    """AdamW with smaller learning rates for lower layers.

    ```
    rate(variable) = learning_rate * layer_decay ** (number of layers above the variable's)
    ```

    The head has the full rate; all transformer layers are above the embeddings. The
    number of a layer is read from the variable's path: "transformer_layer_3" (KerasHub),
    "layer_3" (TF-Hub).

    Args:
        learning_rate: A float or a `LearningRateSchedule`.
        layer_decay: Factor for each layer, in (0, 1]; 1 is plain AdamW. Defaults to 0.9.
        kwargs: Arguments of `keras.optimizers.AdamW`.

    Reference: Sun et al. 2019, https://arxiv.org/abs/1905.05583, section 5.3.2.
    """

    def __init__(self, learning_rate=1e-3, layer_decay=0.9, name="layerwise_adamw", **kwargs):
        layer_decay = check_rate("layer_decay", layer_decay, with_zero=False)
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.layer_decay = layer_decay
        self._scales = []

    def build(self, variables):
        super().build(variables)
        self._scales = layer_scales([v.path for v in variables], self.layer_decay)

    def update_step(self, gradient, variable, learning_rate):
        scale = self._scales[place_of(self, variable)]
        super().update_step(gradient, variable, learning_rate * scale)

    def get_config(self):
        return {**super().get_config(), "layer_decay": self.layer_decay}


def layer_scales(paths, layer_decay):
    """Lists the factors of the learning rate for variables' paths."""
    numbers = [_layer_number(path) for path in paths]
    num_layers = 1 + max((n for n in numbers if n is not None), default=-1)
    # The head is above all layers; the embeddings have the number -1.
    depths = [num_layers if n is None else n for n in numbers]
    return [layer_decay ** (num_layers - depth) for depth in depths]


def _layer_number(path):
    if found := _LAYER.search(path):
        return int(next(number for number in found.groups() if number))
    return -1 if _EMBEDDINGS.search(path) else None


def finetuning_optimizer(
    model,
    learning_rate=3e-5,
    *,
    num_steps,
    warmup_rate=0.1,
    weight_decay=0.01,
    layer_decay=1.0,
    clipnorm=1.0,
):
    """Returns the usual optimizer to fine-tune BERTs: AdamW with `WarmupLinearDecay`.

    Biases and layer norms have no weight decay; gradients are clipped by their global norm.

    Args:
        model: The model to train; the names of its variables are read.
        learning_rate: Peak learning rate, after the warm-up. Defaults to 3e-5.
        num_steps: Number of training steps, epochs * batches.
        warmup_rate: Share of the steps for the warm-up, in [0, 1). Defaults to 0.1.
        weight_decay: AdamW's decoupled weight decay. Defaults to 0.01.
        layer_decay: Factor of the learning rate from a layer to the one below it, in
            (0, 1]. Defaults to 1: the same rate for all layers.
        clipnorm: Largest global norm of the gradients, or None. Defaults to 1.

    Returns:
        A Keras optimizer.

    Reference: Devlin et al. 2019, https://arxiv.org/abs/1810.04805, appendix A.
    """
    schedule = WarmupLinearDecay(learning_rate, num_steps, warmup_rate)
    optimizer = LayerwiseAdamW(
        schedule, layer_decay, weight_decay=weight_decay, global_clipnorm=clipnorm
    )
    undecayed = [v for v in model.trainable_variables if len(v.shape) < 2 or "bias" in v.path]
    optimizer.exclude_from_weight_decay(var_list=undecayed)
    return optimizer
