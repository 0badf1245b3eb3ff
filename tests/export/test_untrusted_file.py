"""Files of others that never end."""

import numpy as np
import pytest
import tensorflow as tf

import keras_distill as kd
from keras_distill.export.tflite import untrusted_file


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """A file whose loop has no end, with a signature of x."""

    @tf.function(input_signature=[tf.TensorSpec((1, 2), name="x")])
    def run(x):
        return {
            "y": tf.while_loop(lambda y: tf.reduce_sum(y) < 1e30, lambda y: (y * 1.0,), (x,))[0]
        }

    module = tf.Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [run.get_concrete_function()], module
    )
    path = tmp_path_factory.mktemp("endless") / "endless.tflite"
    path.write_bytes(converter.convert())
    return path


@pytest.mark.long
def test_a_loop_without_end(endless, monkeypatch):
    monkeypatch.setattr(untrusted_file, "MAX_SECONDS", 2)
    message = r"endless\.tflite has run for 2 seconds.*loop without end"
    with pytest.raises(RuntimeError, match=message):
        kd.benchmark(endless)
    settings = {"num_threads": (), "verbose": 0}
    with pytest.raises(RuntimeError, match=message):
        kd.compare({"file": endless}, (np.ones((3, 2), "float32"),), **settings)
    monkeypatch.undo()
    # It only opens the file.
    assert kd.describe(endless).operations["WHILE"] == 1
