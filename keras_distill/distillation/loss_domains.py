"""Checks that models give Keras's cross-entropies logits or probabilities as they expect."""

import keras

from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import output_domains
from keras_distill._keras.several_labels import is_yes_or_no

_CLASSES = (
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.KLDivergence,
    keras.losses.SparseCategoricalCrossentropy,
)
_FUNCTIONS = (
    keras.losses.binary_crossentropy,
    keras.losses.binary_focal_crossentropy,
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.kl_divergence,
    keras.losses.sparse_categorical_crossentropy,
)


def check_takes_logits(loss, model):
    """Raises `ValueError` if a loss of compile() would treat logits as probabilities.

    Keras clips them to [0, 1], and the model learns something else.

    Args:
        loss: The loss of compile(): one for all outputs, or a dict or list of losses.
        model: A Keras model. An output whose last layer does not show its domain is not checked.
    """
    domains = output_domains(model) or []
    for index, (name, domain) in enumerate(zip(_names(model, domains), domains)):
        of_output = _of_output(loss, index, name)
        if domain == LOGITS and _takes_probabilities(of_output):
            raise ValueError(
                "loss of compile() would take the student's logits for probabilities. Received: "
                f"loss={of_output!r} for {name!r} of {model.name!r}, which ends without a softmax "
                "or sigmoid. Give the loss from_logits=True, such as "
                "keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
            )


def check_default_soft_loss(loss, model):
    """Raises `ValueError` if the softmax of the default soft loss would mix several labels.

    Args:
        loss, model: As for `check_takes_logits`.
    """
    domains = output_domains(model) or []
    for index, (name, domain) in enumerate(zip(_names(model, domains), domains)):
        of_output = _of_output(loss, index, name)
        has_classes = domain == LOGITS and model.outputs[index].shape[-1] != 1
        if has_classes and is_yes_or_no(of_output):
            raise ValueError(
                "soft_loss must be given for an output that a binary loss teaches: the default "
                "compares the softmax over its classes, of which an example may have several. "
                f"Received: soft_loss=None, and loss={of_output!r} for {name!r} of "
                f"{model.name!r}. Give keras_distill.losses.BinarySoftTargets(temperature=...), or "
                "SoftTargetKL(temperature=...) if each example has just one class."
            )


def check_soft_takes_logits(loss, name, teacher_domain, student_domain):
    """Raises `ValueError` if a Keras loss as soft loss would treat logits as probabilities.

    Keras's cross-entropies treat the teacher's output as a distribution, even if `from_logits` is
    True, which applies to the student only.

    Args:
        loss: A `keras.losses.Loss`.
        name: The output's name, for the error.
        teacher_domain, student_domain: As `output_domains` gives them.
    """
    loss_or_function = getattr(loss, "function", loss)
    if not _compares_distributions(loss_or_function):
        return
    is_wrong = {
        "teacher": teacher_domain == LOGITS,
        "student": student_domain == LOGITS and _takes_probabilities(loss_or_function),
    }
    if wrong := [side for side, wrong in is_wrong.items() if wrong]:
        raise ValueError(
            f"soft_loss {loss.name} of Keras would take logits for probabilities. Received: logits "
            f"of the {' and the '.join(wrong)} for {name!r}. Use keras_distill.losses.SoftTargetKL "
            "(or BinarySoftTargets for sigmoids), which reads logits, with a temperature."
        )


def _names(model, domains):
    outputs = model.output if len(domains) > 1 else None
    if isinstance(outputs, dict):
        return [".".join(map(str, path)) for path, _ in keras.tree.flatten_with_path(outputs)]
    return list(getattr(model, "output_names", None) or map(str, range(len(domains))))


def _of_output(loss, index, name):
    if isinstance(loss, dict):
        return loss.get(name)
    if isinstance(loss, (list, tuple)):
        return loss[index] if index < len(loss) else None
    return loss


def _takes_probabilities(loss):
    try:
        loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    except ValueError:
        return False  # Keras raises its own error for this.
    if isinstance(loss, _CLASSES) and loss.get_config().get("from_logits", False):
        return False
    return _compares_distributions(loss)


def _compares_distributions(loss):
    return isinstance(loss, _CLASSES) or any(loss is function for function in _FUNCTIONS)
