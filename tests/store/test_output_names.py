"""Two outputs are never one file, whatever the file system takes for the same name."""

import keras
import numpy as np
import tensorflow as tf

import keras_distill as kd
from keras_distill.store.output_names import output_names


def test_names_that_are_free_stay():
    names = ["output", "conv", "block/conv", "output[a]"]
    assert output_names(names) == {name: name for name in names}


def test_names_that_would_be_one_file():
    found = output_names(
        ["Output", "output", "conv", "Conv", "CONV", "conv.values", "Fingerprints"]
    )
    assert found["output"] == "output"
    assert found["conv"] == "conv"
    assert found["Conv"] == "Conv~2"
    assert found["CONV"] == "CONV~3"
    assert found["conv.values"] == "conv.values~2"
    assert found["Fingerprints"] == "Fingerprints~2"
    assert found["Output"] == "Output~2"


def test_long_names():
    """A file's name has at most 255 bytes."""
    found = output_names(["layer/" * 100 + "a", "layer/" * 100 + "b"]).values()
    assert len(set(found)) == 2
    assert all(len(name) < 200 for name in found)


def test_layers_whose_names_differ_by_capitals(tmp_path):
    """Under macOS the second one's values were read for both."""
    x = keras.Input((4,))
    hidden = keras.layers.Dense(3, name="Dense")(x)
    other = keras.layers.Dense(3, name="dense")(hidden)
    named = keras.layers.Dense(3, name="fingerprints")(other)
    teacher = keras.Model(x, keras.layers.Dense(2, name="last")(named))
    rows = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices(rows)
    taps = ("output", "Dense", "dense", "fingerprints")
    store = kd.TeacherStore.build(
        data, teacher, tmp_path / "s", taps=taps, dtype="float32", version="1", verbose=0
    )
    files = [path.name.lower() for path in (tmp_path / "s").glob("shard_*/*")]
    assert len(set(files)) == len(files)
    (x,) = store.attach(data).batch(20)
    expected = keras.Model(teacher.input, [hidden, other, named])(rows)
    for name, values in zip(taps[1:], expected):
        np.testing.assert_allclose(x.teacher_outputs[name], values, atol=1e-6)
