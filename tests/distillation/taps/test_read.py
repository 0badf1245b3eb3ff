"""One tensor of a model's outputs, by key and index."""

import pytest

from keras_distill.distillation.tap_paths import read

OUTPUTS = {"a": [10, {"k": 11}], "b": 12, "a/b": 13, "x[0]": 14}


@pytest.mark.parametrize(
    ("outputs", "path", "expected"),
    [
        (7, "output", 7),
        ([1, 2], "output[1]", 2),
        ((1, 2), "[0]", 1),
        ([1, 2], "output[-1]", 2),
        (OUTPUTS, "a[0]", 10),
        (OUTPUTS, "a[1][k]", 11),
        (OUTPUTS, "a/1/k", 11),
        (OUTPUTS, "output[b]", 12),
        (OUTPUTS, "output", OUTPUTS),
        # A key as it is goes before a path.
        (OUTPUTS, "a/b", 13),
        (OUTPUTS, "x[0]", 14),
        ({"output": 3, "hidden": 4}, "output", 3),
        ({"output": [3, 5]}, "output[1]", 5),
        ({"output": {"output": 6}}, "output/output", 6),
    ],
)
def test_by_key_and_index(outputs, path, expected):
    """Keys of dicts, indices of lists and tuples, as deep as they go."""
    assert read(outputs, path) == expected


@pytest.mark.parametrize(
    ("outputs", "path"),
    [
        (7, "logits"),
        (7, "output[0]"),
        ([1, 2], "output[2]"),
        ([1, 2], "output[-3]"),
        ([1, 2], "output[k]"),
        (OUTPUTS, "typo"),
        (OUTPUTS, "a[k]"),
        (OUTPUTS, "b[0]"),
        (OUTPUTS, "[]"),
        ({"output": 3}, "output[output]"),
    ],
)
def test_nothing_there(outputs, path):
    """Always a KeyError with the whole path."""
    with pytest.raises(KeyError, match=None) as error:
        read(outputs, path)
    assert error.value.args == (path,)
