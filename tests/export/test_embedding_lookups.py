"""Tables of embeddings have a step size for each row."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_distill as kd
from keras_distill import export_tflite


def rows_of_all_sizes():
    """Reads ids; of the last rows the numbers are a thousandth of those of the first."""
    table = np.random.default_rng(0).normal(size=(200, 16)) * np.logspace(0, -3, 200)[:, None]
    ids = keras.Input((6,), dtype="int32", name="ids")
    rows = layers.Embedding(200, 16)(ids)
    # Features are no classes, whose order is compared.
    model = keras.Model(ids, layers.Reshape((-1, 1))(rows))
    model.set_weights([table])
    return model


IDS = np.arange(198, dtype="int32").reshape(-1, 6)


def run_file(path, ids):
    return np.concatenate([run_one(path, row[None]) for row in ids])


def run_one(path, ids):
    interpreter = Interpreter(str(path))
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], ids.shape)
    runner = interpreter.get_signature_runner()
    ((input_name,), (name,)) = runner.get_input_details(), runner.get_output_details()
    return runner(**{input_name: ids})[name]


@pytest.mark.long_but_first
@pytest.mark.parametrize(("quantization", "num_steps"), [("dynamic", 127), ("int4", 7)])
def test_each_row_errs_by_half_a_step_of_its_own(quantization, num_steps, tmp_path):
    model = rows_of_all_sizes()
    path = tmp_path / "s.tflite"
    export_tflite(
        model, path, quantization=quantization, representative_data=IDS, sequence_length=6
    )
    (table,) = model.get_weights()
    expected = table[IDS]
    largest = np.abs(expected).max(axis=-1, keepdims=True)
    found = run_file(path, IDS).reshape(expected.shape)
    assert np.all(np.abs(found - expected) <= 0.501 * largest / num_steps)
    assert "EMBEDDING_LOOKUP" in kd.describe(path).operations
    assert "GATHER" not in kd.describe(path).operations


def test_rows_of_an_odd_width(tmp_path):
    """Of 4 bits two values share a byte: behind an odd row all others were wrong."""
    ids = keras.Input((6,), dtype="int32", name="ids")
    model = keras.Model(ids, layers.Embedding(30, 5)(ids))
    (table,) = model.get_weights()
    path = tmp_path / "s.tflite"
    report = export_tflite(model, path, quantization="int4")
    assert report.max_relative_difference < 0.01
    ids = np.arange(30).reshape(5, 6).astype("int32")
    np.testing.assert_allclose(run_file(path, ids), table[ids], atol=0.001)


def test_sizes_and_lengths(tmp_path):
    """Batches, pairs and open lengths: the rows come back in the shape of the ids."""
    ids = keras.Input((2, None), dtype="int32", name="ids")
    rows = layers.Embedding(50, 8)(ids)
    model = keras.Model(ids, layers.Dense(3)(rows))
    data = np.random.default_rng(0).integers(0, 50, (6, 2, 10)).astype("int32")
    path = tmp_path / "s.tflite"
    report = export_tflite(
        model,
        path,
        quantization="dynamic",
        representative_data=data,
        batch_size=3,
        sequence_length="any",
    )
    assert report.max_relative_difference < 0.02
    np.testing.assert_allclose(run_one(path, data[:3, :, :7]), model(data[:3, :, :7]), atol=0.01)


def test_gathers_of_other_kinds_stay(tmp_path):
    """Of a tensor that the model computes, and along another axis of a table."""
    ids = keras.Input((4,), dtype="int32", name="ids")
    table = np.random.default_rng(0).normal(size=(3, 20)).astype("float32")
    features = keras.Input((20, 5), name="features")
    columns = keras.ops.transpose(keras.ops.take(table, ids, axis=1), (1, 0, 2))
    model = keras.Model([ids, features], [columns, keras.ops.take(features, [7, 0, 3], axis=1)])
    data = [
        np.arange(12, dtype="int32").reshape(3, 4),
        np.random.default_rng(1).normal(size=(3, 20, 5)).astype("float32"),
    ]
    path = tmp_path / "s.tflite"
    report = export_tflite(model, path, quantization="dynamic", representative_data=data)
    assert report.max_difference < 1e-6
    assert kd.describe(path).operations["GATHER"] == 2
