"""Domains of a model's outputs: logits, or probabilities of a softmax or sigmoid."""

import keras
import numpy as np

from keras_distill._keras.graph import calls_of
from keras_distill._keras.graph import origin

LOGITS, SOFTMAX, SIGMOID, OTHER = "logits", "softmax", "sigmoid", "other"

# Layers that pass logits or probabilities on without changing the domain.
_TRANSPARENT = (
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Identity,
    keras.layers.Permute,
    keras.layers.Reshape,
)


def output_domains(model):
    """Finds the domain of each output of a model by its last layers.

    Args:
        model: Anything, but only Keras models made of a graph of layers show their domains.

    Returns:
        A list, in the order of the flattened outputs, of "logits", "softmax",
        "sigmoid", "other" (an activation with other outputs), or None if the last
        layer does not show it; None instead of a list for any other model.
    """
    if (domains := getattr(model, "output_domains", None)) is not None:
        return domains  # A model with several teachers knows their domains.
    # Other objects, such as a loaded function, have outputs that are not tensors of layers.
    outputs = getattr(model, "outputs", None) if isinstance(model, keras.Model) else None
    return [_domain_of_tensor(tensor) for tensor in outputs] if outputs else None


def _domain_of_tensor(tensor):
    operation, node_index, tensor_index = origin(tensor)
    is_linear = getattr(operation, "activation", None) is keras.activations.linear
    if isinstance(operation, _TRANSPARENT) or (
        isinstance(operation, keras.layers.Activation) and is_linear
    ):
        # This call's input is needed; `operation.input` is that of a shared layer's first call.
        return _domain_of_tensor(calls_of(operation)[node_index].input_tensors[0])
    if isinstance(operation, keras.Model):
        domains = output_domains(operation)
        return domains[tensor_index] if domains else None
    if isinstance(operation, keras.layers.Average):
        # A mean of logits is a logit, and a mean of probabilities is a probability.
        found = {_domain_of_tensor(t) for t in calls_of(operation)[node_index].input_tensors}
        return found.pop() if len(found) == 1 else None
    return _domain_of_operation(operation)


def _domain_of_operation(operation):
    if isinstance(operation, keras.layers.TimeDistributed):
        return _domain_of_operation(operation.layer)
    # Layers have these names, and so have operations that keras.ops makes of symbolic tensors.
    by_type = {"Softmax": SOFTMAX, "Sigmoid": SIGMOID, "LogSoftmax": LOGITS}
    if type(operation).__name__ in by_type:
        return by_type[type(operation).__name__]
    activation = getattr(operation, "activation", None)
    if isinstance(operation, (keras.layers.Dense, keras.layers.EinsumDense)) and activation is None:
        return LOGITS
    by_activation = {
        keras.activations.linear: LOGITS,
        keras.activations.log_softmax: LOGITS,
        keras.activations.softmax: SOFTMAX,
        keras.activations.sigmoid: SIGMOID,
    }
    if activation in by_activation and not isinstance(operation, keras.layers.RNN):
        return by_activation[activation]
    is_other = isinstance(operation, _ACTIVATION_LAYERS) or activation in _OTHER_ACTIVATIONS
    return OTHER if is_other else None


_OTHER_ACTIVATIONS = {
    function
    for name, function in vars(keras.activations).items()
    if callable(function)
    and name not in ("linear", "log_softmax", "sigmoid", "softmax")
    and name not in ("get", "serialize", "deserialize")
}
_ACTIVATION_LAYERS = (
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
)


def from_logits(loss, side, name, domain):
    """Whether one model's output reaches an `OutputLoss` as logits.

    Args:
        loss: The `OutputLoss`.
        side: "teacher" or "student".
        name: The output's name, for the error.
        domain: The output's domain as `output_domains` gives it.

    Raises:
        ValueError: If the loss cannot take outputs of this domain.
    """
    declared = getattr(loss, f"{side}_from_logits")
    if declared is not None:
        return declared
    if domain in (None, LOGITS):
        return True
    if domain == loss.activation:
        return False
    by_domain = {
        SOFTMAX: "a softmax. SoftTargetKL can undo it; or remove the last activation",
        SIGMOID: "a sigmoid. BinarySoftTargets can undo it; or remove the last activation",
        OTHER: "an activation whose outputs are neither logits nor probabilities. A model that "
        "does not classify has no soft targets: use soft_loss=keras.losses.MeanSquaredError() "
        "or an Objective",
    }
    raise ValueError(
        f"soft_loss {type(loss).__name__} cannot take the {side}'s {name!r}, which ends in "
        f"{by_domain[domain]}. If the layer misleads, declare {side}_from_logits in the loss."
    )


def check_values(loss, side, name, domain, values):
    """Checks the domain of an output by its values, on a real batch.

    Args:
        loss, side, name, domain: As in `from_logits`.
        values: The output's values, `(batch, ..., classes)`.

    Raises:
        ValueError: If the values look like probabilities but their domain is not declared,
            or if they are declared to be probabilities but are not.
    """
    declared = getattr(loss, f"{side}_from_logits")
    if np.size(values) == 0:
        return
    if declared is None and domain is None:
        for activation in (SOFTMAX, SIGMOID) if loss.activation is None else (loss.activation,):
            if could_come_from(activation, values):
                raise ValueError(
                    f"The {side}'s {name!r} looks like probabilities, and no layer tells whether "
                    f"it is. Declare it: soft_loss={type(loss).__name__}({side}_from_logits=False) "
                    "for probabilities, True for logits."
                )
    is_probability = declared is False or (declared is None and domain == loss.activation)
    if is_probability and loss.activation and not could_come_from(loss.activation, values):
        raise ValueError(
            f"The {side}'s {name!r} is declared to be probabilities of a {loss.activation}, or its "
            f"last layer says so, and it is not: values from {np.min(values):.4g} to "
            f"{np.max(values):.4g}. Declare {side}_from_logits=True if these are logits."
        )


def could_come_from(activation, values):
    """Whether values, `(batch, ..., classes)`, look like outputs of a softmax or sigmoid."""
    values = np.asarray(values, dtype="float64")
    if values.size == 0 or values.min() < 0 or values.max() > 1:
        return False
    # The tolerance allows for float16 and bfloat16 outputs.
    return activation == SIGMOID or bool(np.all(np.abs(values.sum(axis=-1) - 1) < 0.02))
