"""Splits examples into those that calibrate and those that check a file, and judges them."""

import numpy as np

# With fewer examples, the ranges of activations and the result of the check are unreliable.
_FEW = 10
# Examples must differ by more than this share of the largest value.
_ALIKE = 1e-3


def split(inputs, labels, outputs, quantization):
    """Splits examples: two thirds calibrate, and the others check.

    Duplicates are removed, because they could be on both sides. The examples with the lowest and
    the highest value of an output calibrate, because the file clips values beyond this range.

    Args:
        inputs: Arrays by name.
        labels: One label for each example, or None.
        outputs: Keras's outputs for these inputs, arrays by name.
        quantization: The mode, for the error.

    Returns:
        Inputs to calibrate on; inputs and labels to check on.

    Raises:
        ValueError: If the examples are alike, or there is only one.
    """
    places = _different(inputs)
    if len(places) < 2 or are_alike(inputs):
        count = len(next(iter(inputs.values())))
        raise ValueError(
            "representative_data must be examples that differ from each other: "
            f"quantization={quantization!r} finds the range of every activation on some, and is "
            f"checked on others. Received: {count} examples, all alike. Give real inputs of every "
            "class, 300 or more."
        )
    num_checking = max(1, len(places) // 3)
    is_extreme = np.isin(places, _extremes(outputs, places))
    drawn = np.random.default_rng(0).permutation(places[~is_extreme])
    # If there are very few examples, all may be extreme.
    drawn = np.concatenate([drawn, places[is_extreme]])
    checking, calibrating = np.sort(drawn[:num_checking]), np.sort(drawn[num_checking:])
    return (
        {name: values[calibrating] for name, values in inputs.items()},
        {name: values[checking] for name, values in inputs.items()},
        None if labels is None else labels[checking],
    )


def _different(inputs):
    rows = zip(*(values.reshape(len(values), -1) for values in inputs.values()))
    places = {b"".join(part.tobytes() for part in row): place for place, row in enumerate(rows)}
    return np.array(list(places.values()))


def _extremes(outputs, places):
    """The places whose examples have the lowest or the highest value of an output."""
    rows = (values[places].reshape(len(places), -1) for values in outputs.values() if values.size)
    ends = ((row.min(axis=1).argmin(), row.max(axis=1).argmax()) for row in rows)
    return [places[end] for pair in ends for end in pair]


def are_alike(inputs):
    """Whether examples are almost equal: integers exactly, floats within a thousandth."""
    return all(
        np.max(np.ptp(values.astype("float64"), axis=0), initial=0)
        <= (_ALIKE * np.max(np.abs(values), initial=0) if values.dtype.kind == "f" else 0)
        for values in inputs.values()
    )


def doubts(inputs, expected, quantization, num_calibrated):
    """Sentences on what a check with these examples cannot show.

    Args:
        inputs: Real inputs of the check, arrays by name.
        expected: Keras's outputs by name.
        quantization: The mode.
        num_calibrated: Number of other examples that calibrated the file, or 0.
    """
    count = len(next(iter(inputs.values())))
    sentences = []
    if num_calibrated and count < _FEW:
        sentences.append(
            f"quantization={quantization!r} was calibrated on {num_calibrated} examples and "
            f"checked on {count} others, which are few: give 300 or more as representative_data."
        )
    if are_alike(inputs):
        sentences.append(
            f"The {count} examples of representative_data are alike, so the check says nothing of "
            "others. Give real inputs of every class."
        )
    for name, values in expected.items():
        if values.ndim >= 2 and values.shape[-1] >= 2 and values.dtype.kind == "f":
            classes = np.unique(values.argmax(axis=-1))
            if len(classes) == 1 and count >= _FEW:
                sentences.append(
                    f"In the output {name!r} the largest value of all {count} examples of "
                    f"representative_data is in column {classes[0]}, so top1_agreement says "
                    "nothing of the others. If the columns are classes: are these inputs like "
                    "those that the model was trained on?"
                )
    return sentences
