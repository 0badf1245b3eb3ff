"""What every test gets: two CPU devices, fixed seeds, quiet TensorFlow."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest
import tensorflow as tf

# For MirroredStrategy; must come before TensorFlow starts its devices.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


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
