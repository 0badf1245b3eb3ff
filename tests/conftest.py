"""What every test gets: two CPU devices, fixed seeds, quiet TensorFlow."""

import gc
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    # The cores are shared by the processes of the run.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import keras
import pytest
import tensorflow as tf

# For MirroredStrategy; must come before TensorFlow starts its devices.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


# Tracing makes many objects that stay: looking among them for garbage as often as Python does
# costs a tenth of its time. What a file leaves is collected behind it.
gc.set_threshold(50_000, 20, 20)


def pytest_addoption(parser):
    group = parser.getgroup("fuzz", "tests of damaged files, tests/fuzz")
    group.addoption("--fuzz-times", type=int, default=1, help="so many times the rounds of each")
    group.addoption("--fuzz-seed", type=int, default=0, help="of what is drawn; default: 0")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks the cases of a test as long, but for its first one, where it is long_but_first."""
    seen = set()
    for item in items:
        if item.get_closest_marker("long_but_first"):
            test = item.nodeid.partition("[")[0]
            if test in seen:
                item.add_marker("long")
            seen.add(test)


def pytest_collection_finish(session):
    # Collections of garbage after this need not look at what the imports made.
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def clean_session():
    # Not after each test: it collects all garbage, which takes a second late in the run.
    yield
    keras.backend.clear_session()
    gc.freeze()


@pytest.fixture(autouse=True)
def fixed_seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def two_devices():
    # One for all tests: the collectives of a second strategy in one process would clash.
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def shared():
    """The folder of real models, data and tools beside the repository."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("Needs real models: there is no folder ../shared beside the repository.")
    return folder
