"""Parts of the quickstart; the README's first command, which CI runs, is the whole of it."""

import importlib.util
import pathlib

import numpy as np
import pytest

PATH = pathlib.Path(__file__).parents[2] / "examples" / "quickstart.py"


@pytest.fixture(scope="module")
def quickstart():
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("quickstart", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_few_labels_are_kept(quickstart):
    labels = np.repeat(np.arange(150), 12)
    kept = quickstart.keep_labels(labels, per_class=10)
    assert np.bincount(kept[kept >= 0]).tolist() == [10] * 150
    assert (kept[kept >= 0] == labels[kept >= 0]).all()
