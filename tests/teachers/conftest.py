"""Modules that several tests read, written once."""

import importlib.util

import hub_modules
import pytest


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory):
    return hub_modules.save_encoder(tmp_path_factory.mktemp("modules") / "encoder")


@pytest.fixture(scope="session")
def preprocessor_folder(tmp_path_factory):
    return hub_modules.save_preprocessor(tmp_path_factory.mktemp("modules") / "preprocessor")


@pytest.fixture(scope="session")
def signatures_folder(tmp_path_factory):
    return hub_modules.save_signatures(tmp_path_factory.mktemp("modules") / "signatures")


@pytest.fixture(scope="session")
def real_encoder_folder(shared, tmp_path_factory):
    """A real BERT of 6 layers."""
    tool = shared / "tools" / "build_hub_bert.py"
    spec = importlib.util.spec_from_file_location(tool.stem, tool)
    build_hub_bert = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build_hub_bert)
    folder = tmp_path_factory.mktemp("real_bert") / "encoder"
    build_hub_bert.save_encoder(folder, layers=6)
    return folder
