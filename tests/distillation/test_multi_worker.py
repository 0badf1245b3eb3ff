"""MultiWorkerMirroredStrategy, in real processes: they train like one."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
import train_in_workers
from cluster import run_workers

import keras_distill as kd


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
    kinds = (train_in_workers.live, train_in_workers.stored, train_in_workers.together)
    return {kind.__name__: kind(strategy, folder) for kind in kinds}


@pytest.mark.long
@pytest.mark.parametrize("num_workers", [2, 4])
def test_like_one_process(num_workers, one_process, folder):
    """With a live teacher, from a store, among peers: weights, history, validation."""
    run_workers(train_in_workers.__file__, folder, num_workers)
    for number in range(num_workers):
        found = json.loads((folder / f"{num_workers}_{number}.json").read_text())
        # Four workers take long to start, and peers do nothing else among them.
        assert set(one_process) - set(found) == (set() if num_workers == 2 else {"together"})
        for kind in set(one_process) & set(found):
            assert_close(found[kind], one_process[kind], kind)
        if num_workers == 2:
            uneven, own_folder = found["errors"]
            assert re.search(r"same number of batches. Received: \d here, 1.5 on average", uneven)
            assert re.search(r"one folder that all workers see. Received: backup_\d;", own_folder)


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
