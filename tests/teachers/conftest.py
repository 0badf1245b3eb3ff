"""Modules that several tests read, written once."""

import importlib.util
import os

import filelock
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
def build_hub_bert(shared):
    """The tool that writes a real BERT of 6 layers, and its preprocessor."""
    tool = shared / "tools" / "build_hub_bert.py"
    spec = importlib.util.spec_from_file_location(tool.stem, tool)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_once(tmp_path_factory, name, write):
    """Returns a folder that all processes of a run read, and that the first of them writes."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with filelock.FileLock(folder / f"{name}.lock"):
        if not (folder / name).exists():
            write(folder / name)
    return folder / name


@pytest.fixture(scope="session")
def real_encoder_folder(build_hub_bert, tmp_path_factory):
    def write(folder):
        build_hub_bert.save_encoder(folder, layers=6)

    return write_once(tmp_path_factory, "real_bert_encoder", write)


@pytest.fixture(scope="session")
def real_preprocessor_folder(build_hub_bert, tmp_path_factory):
    return write_once(tmp_path_factory, "real_bert_preprocess", build_hub_bert.save_preprocess)
