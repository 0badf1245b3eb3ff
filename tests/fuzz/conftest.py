"""The fixture `fuzz`: for each file of tests a process of its own, for each test its rounds."""

import collections
import functools
import pathlib

import pytest
from fuzzing import ROUNDS
from fuzzing import Fuzz

HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(config, items):
    # A read that hangs is ended by Fuzz; more rounds take longer.
    seconds = 600 * config.getoption("fuzz_times")
    # Here are all tests that were found; the long ones may not run.
    rounds = config.stash[ROUNDS] = collections.Counter()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(seconds))
            if marker := item.get_closest_marker("rounds"):
                rounds[item.path.name] += marker.args[0]


@pytest.fixture
def fuzz(request, fuzz_process):
    marker = request.node.get_closest_marker("rounds")
    return functools.partial(fuzz_process, rounds=marker.args[0]) if marker else fuzz_process


@pytest.fixture(scope="module")
def fuzz_process(request, tmp_path_factory):
    seed, times = (request.config.getoption(f"fuzz_{name}") for name in ("seed", "times"))
    fuzz = Fuzz(seed, times, tmp_path_factory.mktemp("fuzz"))
    yield fuzz
    fuzz.close()
