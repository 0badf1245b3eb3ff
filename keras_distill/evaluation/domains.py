"""Domains of the outputs of compared models: what is declared, else what the models show."""

import numpy as np

from keras_distill._keras.output_domain import LOGITS
from keras_distill._keras.output_domain import OTHER
from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import SOFTMAX
from keras_distill.evaluation import model_runs


def check_from_logits(from_logits, models, task):
    """Raises `ValueError` unless the argument of `compare` fits; returns it as a dict."""
    declared = {} if from_logits is None else from_logits
    if (
        not isinstance(declared, dict)
        or not set(declared) <= set(models)
        or not all(isinstance(value, (bool, np.bool_)) for value in declared.values())
    ):
        raise ValueError(
            "from_logits must be a dict from names of the models to True, for logits, or False, "
            f"for probabilities. Received: {from_logits!r}; the models are {list(models)}"
        )
    if declared and task == "regression":
        raise ValueError(
            'from_logits is for classifiers. Received: task="regression" and '
            f"from_logits={from_logits!r}"
        )
    return declared


def domains_of(raw, sources, declared):
    """Dict from a model's name to the domain of its outputs.

    Args:
        raw: Dict from a model's name to its outputs, a list of rows or an array.
        sources: Dict from a model's name to its `Source`.
        declared: The result of `check_from_logits`.

    Raises:
        ValueError: If outputs are declared to be probabilities and are not.
    """
    domains = {name: source.domain for name, source in sources.items()}
    for name, is_logits in declared.items():
        lowest, highest = _range(raw[name])
        if not is_logits and not model_runs.in_range_of_probabilities(lowest, highest):
            raise ValueError(
                f"from_logits says that models[{name!r}] gives probabilities. Received: outputs "
                f"from {lowest:.4g} to {highest:.4g}. Give from_logits={{{name!r}: True}}. With "
                f"the command, give --logits {name}."
            )
        probabilities = SIGMOID if raw[name][0].shape[-1] == 1 else SOFTMAX
        domains[name] = LOGITS if is_logits else probabilities
    return domains


def check_are_known(raw, domains):
    """Raises `ValueError` for one output that may be a logit or a probability.

    Args:
        raw: Dict from a model's name to its outputs.
        domains: The result of `domains_of`.
    """
    for name, domain in domains.items():
        is_unknown = domain in (None, OTHER) and raw[name][0].shape[-1] == 1
        if is_unknown and model_runs.in_range_of_probabilities(*_range(raw[name])):
            raise ValueError(
                f"models[{name!r}] must show whether it gives logits or probabilities. Received: "
                "one output, from 0 to 1 for all examples, of an unknown last layer. Give "
                f"from_logits={{{name!r}: False}} for probabilities, True for logits. With the "
                f"command, give --probabilities {name} or --logits {name}."
            )


def _range(rows):
    return min(np.min(row) for row in rows), max(np.max(row) for row in rows)
