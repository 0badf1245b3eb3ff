import json
import sys

import pytest

from keras_distill._arguments.imports import import_module


def test_a_module_by_its_full_name():
    assert import_module("json.decoder") is json.decoder


def test_what_is_missing_comes_with_its_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match=r"keras_hub .*keras_hub.*: pip install keras-hub$"):
        import_module("keras_hub")
