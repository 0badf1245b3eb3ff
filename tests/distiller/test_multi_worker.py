"""MultiWorkerMirroredStrategy, in real processes: they train like one."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import train_in_workers

import keras_distill as kd

DOCS = pathlib.Path(kd.__file__).parents[1] / "docs" / "distributed.md"
RUN_WORKERS = pathlib.Path(__file__).with_name("run_workers.py")


def run_workers(script, folder, num_workers, *fault):
    """Returns what the job manager printed, when all workers have ended well."""
    command = [sys.executable, RUN_WORKERS, script, folder, str(num_workers), *map(str, fault)]
    manager = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        printed, _ = manager.communicate(timeout=240)
    finally:
        # The workers are of its group, which is gone if they have ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(manager.pid, signal.SIGKILL)
        manager.wait()
    logs = [f"{log.name}:\n{log.read_text()[-4000:]}" for log in folder.glob("worker_*.log")]
    assert manager.returncode == 0, "\n".join([printed, *logs])
    return printed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a store; the results of the workers go there, too."""
    folder = tmp_path_factory.mktemp("workers")
    teacher = train_in_workers.make_teacher()
    settings = {"dtype": "float32", "verbose": 0}
    kd.TeacherStore.build(train_in_workers.examples(), teacher, folder / "store", **settings)
    return folder


@pytest.fixture(scope="module")
def one_process(folder):
    strategy = tf.distribute.get_strategy()
    kinds = (train_in_workers.live, train_in_workers.stored)
    return {kind.__name__: kind(strategy, folder) for kind in kinds}


def test_like_one_process(one_process, folder):
    """With a live teacher and from a store: weights, history, validation.

    By four workers, of which some have no example of the last batch; the docs have two.
    """
    run_workers(train_in_workers.__file__, folder, 4)
    for number in range(4):
        found = json.loads((folder / f"{number}.json").read_text())
        for kind, expected in one_process.items():
            assert_close(found[kind], expected, kind)
        uneven, own_folder = found["errors"]
        assert re.search(r"same number of batches. Received: \d here, 1.25 on average", uneven)
        assert re.search(r"one folder that all workers see. Received: backup_\d;", own_folder)


@pytest.fixture(scope="module")
def code():
    """The blocks of the docs."""
    return re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


def test_docs(code, two_devices, tmp_path, monkeypatch):
    """The worker of the docs, one killed and started again, ends like one undisturbed process."""
    label, mirrored, worker, replace = code
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(label, names)
    # A second strategy in this process would clash with the tests' own.
    exec(mirrored.replace("tf.distribute.MirroredStrategy()", "two_devices"), names | locals())
    (tmp_path / "worker.py").write_text(worker)
    fault = [1, "backup/epoch_00000[3-7].weights.h5"]
    printed = run_workers(tmp_path / "worker.py", tmp_path, 2, *fault)
    assert printed.count("Worker 1 ended with -9.") == 1
    student = keras.models.load_model("student.keras")
    shutil.rmtree("backup")
    training, _ = worker.split("if not strategy.cluster_resolver")
    names = {}
    exec(training.replace("MultiWorkerMirroredStrategy", "get_strategy"), names)
    for found, expected in zip(student.get_weights(), names["student"].get_weights()):
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    exec(replace, {"os": os, "student": names["student"]})
    assert not pathlib.Path("new.keras").exists()
    replaced = keras.models.load_model("student.keras")
    np.testing.assert_array_equal(replaced.get_weights()[0], names["student"].get_weights()[0])


def assert_close(found, expected, name):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(found[key], value, f"{name}: {key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            assert_close(one, other, name)
    else:
        assert isinstance(found, float)
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5, err_msg=name)
