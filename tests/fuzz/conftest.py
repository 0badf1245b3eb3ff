"""The fixture `fuzz`, for each file of tests one with a process of its own."""

import pathlib

import pytest
from fuzzing import Fuzz

HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(config, items):
    # A read that hangs is ended by Fuzz; more rounds take longer.
    seconds = 600 * config.getoption("fuzz_times")
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(seconds))


@pytest.fixture(scope="module")
def fuzz(request, tmp_path_factory):
    seed, times = (request.config.getoption(f"fuzz_{name}") for name in ("seed", "times"))
    fuzz = Fuzz(seed, times, tmp_path_factory.mktemp("fuzz"))
    yield fuzz
    fuzz.close()
