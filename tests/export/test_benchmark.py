import keras
import numpy as np
import pytest
import students_to_export
from keras import layers

import keras_distill as kd
from keras_distill import benchmark


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")

    def dense(units):
        x = keras.Input((256,), name="x")
        return keras.Model(x, layers.Dense(units)(x))

    paths = {units: folder / f"{units}.tflite" for units in (16, 40_000)}
    for units, path in paths.items():
        kd.export_tflite(dense(units), path)
    paths["ids"] = folder / "ids.tflite"
    kd.export_tflite(students_to_export.text_cnn(), paths["ids"])
    return paths


def test_more_work_takes_more_time_and_memory(files):
    """40,000 units have 40 MB of weights."""
    small, large = (benchmark(files[units], min_seconds=0.1) for units in (16, 40_000))
    assert large.median_ms > 10 * small.median_ms
    assert large.memory_bytes > 30e6 > small.memory_bytes
    for report in (small, large):
        assert 0 < report.min_ms <= report.median_ms <= report.p95_ms
        assert report.num_runs >= 50
        assert report.load_ms > 0
    assert (small.num_threads, small.xnnpack) == (1, True)


def test_given_inputs_without_xnnpack(files):
    inputs = {"ids": np.full((1, 12), 199, "int32")}
    report = benchmark(files["ids"], inputs=inputs, num_runs=5, min_seconds=0, xnnpack=False)
    assert report.num_runs == 5
    assert not report.xnnpack


def test_inputs_of_another_shape(files):
    """LiteRT's words, not a traceback of another process."""
    with pytest.raises(RuntimeError, match=r"(?s)ids\.tflite does not run.*Dimension mismatch"):
        benchmark(files["ids"], inputs={"ids": np.zeros((1, 3), "int32")})


def test_inputs_of_another_name(files):
    with pytest.raises(RuntimeError, match=r"names of \['ids'\]. Received: \['tokens'\]"):
        benchmark(files["ids"], inputs={"tokens": np.zeros((1, 12), "int32")})


@pytest.mark.long
def test_a_saved_model(tmp_path):
    """Of texts, as a server runs it."""
    words = kd.text.WordVocabulary.learn(["a b", "b c"], vocabulary_size=10, sequence_length=4)
    texts = keras.Input((), dtype="string", name="text")
    model = keras.Model(texts, kd.students.text_cnn(words, 2, embedding_dim=4)(words(texts)))
    folder = kd.export_saved_model(model, tmp_path / "served")
    inputs = {"text": np.array(["a", "b c"], object)}
    for given in (None, inputs):
        report = benchmark(folder, inputs=given, num_runs=5, min_seconds=0, num_threads=2)
        assert 0 < report.min_ms <= report.median_ms <= report.p95_ms
        assert report.memory_bytes > 1e5
        assert report.num_runs == 5
        assert not report.xnnpack
    with pytest.raises(RuntimeError, match=r"names of \['text'\]. Received: \['tokens'\]"):
        benchmark(folder, inputs={"tokens": np.zeros((1, 12), "int32")})


def test_bad_arguments(files, tmp_path):
    with pytest.raises(FileNotFoundError, match="which is not there"):
        benchmark(tmp_path / "none.tflite")
    with pytest.raises(ValueError, match="num_threads=0"):
        benchmark(files[16], num_threads=0)
