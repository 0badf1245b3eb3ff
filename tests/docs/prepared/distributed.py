"""The page's worker, one of two killed and started again, ends like one undisturbed process."""

import pathlib
import shutil

import keras
import numpy as np

TESTS = pathlib.Path(__file__).resolve().parents[2]

REPLACED = {
    # A second strategy in this process would clash with the tests' own.
    "tf.distribute.MirroredStrategy()": "two_devices",
}


def prepare(folder, monkeypatch, request):
    monkeypatch.syspath_prepend(TESTS / "distillation")
    return {"two_devices": request.getfixturevalue("two_devices")}


def _run_workers(code, names):
    from cluster import run_workers

    pathlib.Path("worker.py").write_text(code)
    fault = [1, "backup/epoch_00000[3-7].weights.h5"]
    printed = run_workers("worker.py", pathlib.Path.cwd(), 2, *fault)
    assert printed.count("Worker 1 ended with -9.") == 1
    shutil.rmtree("backup")
    training, _ = code.split("if not strategy.cluster_resolver")
    exec(training.replace("MultiWorkerMirroredStrategy", "get_strategy"), names)
    found = keras.models.load_model("student.keras")
    for value, expected in zip(found.get_weights(), names["student"].get_weights()):
        np.testing.assert_allclose(value, expected, atol=1e-5, rtol=0)


RUN = {"# worker.py": _run_workers}


def check(folder, names, printed):
    assert not pathlib.Path("new.keras").exists()
    replaced = keras.models.load_model("student.keras")
    np.testing.assert_array_equal(replaced.get_weights()[0], names["student"].get_weights()[0])
