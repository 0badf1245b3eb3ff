"""Names of the history's entries: of two equal names, Keras keeps only one."""

from keras_distill._keras.compiled import compile_metrics
from keras_distill._keras.compiled import loss_metrics


def check_names(names):
    """Raises `ValueError` if two entries of a history have the same name.

    Args:
        names: List of all names but "loss".
    """
    names = ["loss", *names]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            "The entries of the history must have names of their own: of two with one name, only "
            f"one is there. Received: {repeated}, each of two of the losses, objectives, metrics "
            "and outputs. Give one of the two another name."
        )


def metric_names(metrics, output_names=None):
    """The entries of metrics, a set.

    Args:
        metrics: List of Keras metrics.
        output_names: Names of the outputs with these metrics; None for a single output, whose
            name does not appear in the history.
    """
    names = {metric.name for metric in metrics}
    if output_names is None:
        return names
    return {f"{output}_{name}" for output in output_names for name in names}


def compiled_names(model, output_names):
    """Lists the history entries of a built model's compile metrics and losses.

    Args:
        model: The model.
        output_names: Names of its outputs, or None.
    """
    several = output_names if output_names is not None and len(output_names) > 1 else None
    # With several outputs, each has its own loss, named after the output.
    return [*metric_names(compile_metrics(model), several), *metric_names(loss_metrics(model))]
