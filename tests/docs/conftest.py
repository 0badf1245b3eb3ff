"""What several pages need, made once."""

import importlib.util
import pathlib

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]


def load(path):
    """A module of another folder of tests."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def bert_preset(tmp_path_factory):
    """The folder of a small BERT of KerasHub, with its preprocessor."""
    small_bert = load(TESTS / "models" / "small_bert.py")
    folder = tmp_path_factory.mktemp("bert") / "preset"
    small_bert.make_backbone(max_sequence_length=128).save_to_preset(folder)
    small_bert.make_preprocessor().save_to_preset(folder)
    return folder
