"""Limits on the difference between a TFLite file and Keras."""

import numpy as np

from keras_distill._keras.output_domain import SIGMOID
from keras_distill._keras.output_domain import SOFTMAX
from keras_distill._keras.output_domain import output_domains
from keras_distill.export.tflite.modes import MODES

_FLOAT_TOLERANCE = 1e-4
_MIN_AGREEMENT = 0.9
# Factor from a tolerance, a share of the range, to a limit on column errors: a range is about four
# standard deviations, and the largest difference is twice the root mean square of differences.
_COLUMNS = 2


def in_one_unit(named_model, outputs):
    """Names of the outputs whose columns share a unit: probabilities."""
    domains = output_domains(named_model.model)
    if domains is None or len(domains) != len(outputs):
        return set()
    return {name for name, domain in zip(outputs, domains) if domain in (SIGMOID, SOFTMAX)}


def check_outputs(outputs, quantization, tolerance, is_real, shared_unit, noise):
    """Raises `ValueError` if an output is too far from Keras's.

    Args:
        outputs: A list of `OutputParity`.
        quantization: The mode.
        tolerance: A tolerance that replaces the mode's, or None.
        is_real: Whether the inputs were real, not generated.
        shared_unit: Names of the outputs whose columns are not compared separately.
        noise: Function that returns the difference that rounding explains, by output name.
    """
    mode = MODES[quantization]
    tolerance = mode.tolerance if tolerance is None else tolerance
    for output in outputs:
        limit = output.limit(_FLOAT_TOLERANCE)
        if output.is_float:
            limit += tolerance * output.span
        elif quantization != "none":
            limit = np.inf
        problem = f"Received, with quantization={quantization!r}: {output}. Nothing was written. "
        if output.is_float and output.max_difference > limit:
            limit += noise()[output.name]
        if output.max_difference > limit:
            raise ValueError(
                f"The TFLite file must agree with Keras to {limit:.3g}. "
                + problem
                + _remedy(quantization, is_real)
            )
        is_column_checked = is_real and quantization != "none" and output.name not in shared_unit
        if is_column_checked and (output.column_error or 0) > _COLUMNS * tolerance:
            raise ValueError(
                "Each column of an output of the TFLite file must be within "
                f"{_COLUMNS * tolerance:.0%} of its standard deviation in Keras. {problem}"
                "Columns in the same unit share the range of the output; give those of another "
                "unit an output of their own, or scale them. " + _remedy(quantization, is_real)
            )
        must_agree = quantization != "none" and (is_real or not output.is_float)
        if must_agree and output.top1_agreement is not None:
            num_different = round((1 - output.top1_agreement) * output.num_rows)
            if num_different > 1 and output.top1_agreement < _MIN_AGREEMENT:
                raise ValueError(
                    f"The TFLite file must have Keras's top-1 in {_MIN_AGREEMENT:.0%} of the rows. "
                    + problem
                    + _remedy(quantization, is_real)
                )


def _remedy(quantization, is_real):
    if MODES[quantization].is_calibrated:
        return (
            "Give 300 examples or more of all classes as representative_data, other ones if there "
            "are so many, or use 'dynamic'."
        )
    if quantization == "none":
        return "Compare the outputs of parts of the model to find the layer that differs."
    real = "" if is_real else "Compare on real inputs (representative_data), or "
    return real + ("use" if real else "Use") + " quantization='none'."
