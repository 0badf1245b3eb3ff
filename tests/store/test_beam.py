"""What Beam's workers label is the store that one process builds, whatever fails between."""

import dataclasses
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import filelock
import keras
import label_slowly
import numpy as np
import pytest
import tensorflow as tf
from store_examples import TEXTS
from store_examples import contents
from store_examples import dataset
from store_examples import make_bert
from store_examples import make_teacher
from store_examples import numbers

import keras_distill as kd
from keras_distill import TeacherStore
from keras_distill.store.manifest import read_manifest

ROOT = pathlib.Path(__file__).parents[2]
IN_PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
# It tries a bundle again that failed, as those of clusters do.
TRIES_AGAIN = ["--runner=BundleBasedDirectRunner"]


def test_what_is_missing_comes_with_its_pip_command(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ImportError, match=r": pip install keras-distill\[beam\]$"):
        kd.store.label_with_beam(dataset, same_teacher, tmp_path / "s")


try:
    from apache_beam.metrics import MetricsFilter
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
except ImportError:
    FnApiRunner = object

needs_beam = pytest.mark.skipif(
    FnApiRunner is object, reason="Needs Apache Beam: pip install keras-distill[beam]"
)


class RecordingRunner(FnApiRunner):
    """Keeps the results of the pipelines that it ran."""

    results = []

    def run_pipeline(self, pipeline, options):
        self.results.append(super().run_pipeline(pipeline, options))
        return self.results[-1]

    @classmethod
    def num_labelled(cls):
        """Examples that the last pipeline labelled."""
        counters = cls.results[-1].metrics().query(MetricsFilter())["counters"]
        return sum(c.committed for c in counters if c.key.metric.name == "examples_labelled")


def same_teacher():
    keras.utils.set_random_seed(0)
    return make_teacher()


def label(path, make_dataset=dataset, make_teacher=same_teacher, **settings):
    return kd.store.label_with_beam(make_dataset, make_teacher, path, **{"shards": 5, **settings})


def build(path, make_dataset=dataset, make_teacher=same_teacher, **settings):
    settings = {"shards": 5, "verbose": 0, **settings}
    return TeacherStore.build(make_dataset(), make_teacher(), path, **settings)


def words():
    return kd.text.from_lists([text.split() for text in TEXTS], tags=True)


def lines():
    """A data set that does not know how many examples it has."""
    x = numbers()[0]
    return tf.data.Dataset.from_tensor_slices(x).filter(lambda row: row[0] < 10)


def one_is_nan():
    x = numbers()[0]
    x[17] = np.nan
    return tf.data.Dataset.from_tensor_slices(x)


def views():
    return kd.data.RandomViews(_add_noise, num_views=3).all(dataset(7))


def _add_noise(x, seed):
    return x + tf.random.stateless_uniform(x.shape, seed)


def same_bert():
    keras.utils.set_random_seed(0)
    return make_bert(per_word=True)


@needs_beam
class TestTheSameBytes:
    @pytest.mark.long_but_first
    @pytest.mark.parametrize(
        ("make_dataset", "make_teacher", "settings"),
        [
            (dataset, same_teacher, {"shards": None}),
            (dataset, same_teacher, {"top_k": 1, "batch_size": 3}),
            (lines, same_teacher, {"taps": ["output", "hidden"], "dtype": "float32"}),
            (one_is_nan, same_teacher, {"drop_nan": True}),
            (views, same_teacher, {}),
            (words, same_bert, {"taps": ("output", "transformer_layer_0"), "shards": 2}),
        ],
    )
    def test_as_in_one_process(self, make_dataset, make_teacher, settings, tmp_path):
        built = build(tmp_path / "built", make_dataset, make_teacher, **settings)
        labelled = label(tmp_path / "labelled", make_dataset, make_teacher, **settings)
        assert len(labelled) == len(built) > 0
        assert contents(tmp_path / "labelled") == contents(tmp_path / "built")
        TeacherStore.open(tmp_path / "labelled", make_teacher())

    @pytest.mark.long
    def test_threads_take_turns_with_one_teacher(self, tmp_path):
        def count(x):
            busy = tmp_path / "busy"
            busy.touch(exist_ok=False)
            time.sleep(0.005)
            busy.unlink()
            return x

        def make_teacher():
            with open(tmp_path / "made", "a") as file:
                file.write("one\n")
            return lambda x: tf.ensure_shape(tf.numpy_function(count, [x], x.dtype), x.shape)

        options = ["--direct_running_mode=multi_threading", "--direct_num_workers=4"]
        settings = {"make_teacher": make_teacher, "shards": 25, "version": "1"}
        label(tmp_path / "s", options=options, **settings)
        # One to plan the store, one for all threads.
        assert (tmp_path / "made").read_text() == "one\n" * 2
        build(tmp_path / "built", **settings)
        assert contents(tmp_path / "s") == contents(tmp_path / "built")

    @pytest.mark.long
    def test_processes(self, tmp_path, monkeypatch):
        folders = [str(ROOT), str(pathlib.Path(__file__).parent)]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))
        both = label_slowly.make_dataset, functools.partial(label_slowly.make_teacher, tmp_path)
        label(tmp_path / "s", *both, options=IN_PROCESSES, **label_slowly.SETTINGS)
        # One that planned, two that labelled.
        assert len(list(tmp_path.glob("process_*"))) == 3
        build(tmp_path / "built", *both, **label_slowly.SETTINGS)
        assert contents(tmp_path / "s") == contents(tmp_path / "built")


def fails_once(folder):
    """A teacher that fails when it first sees example 35, in the middle of a shard."""
    special = numbers()[0][35]

    def double(x):
        if np.any(np.all(x == special, axis=1)):
            try:
                (folder / "has_failed").touch(exist_ok=False)
            except FileExistsError:
                return 2 * x
            raise RuntimeError("The teacher fails.")
        return 2 * x

    return lambda x: tf.ensure_shape(tf.numpy_function(double, [x], x.dtype), x.shape)


@needs_beam
class TestFailures:
    SETTINGS = {"version": "1", "batch_size": 4}

    @pytest.mark.long
    def test_a_bundle_is_tried_again(self, tmp_path):
        teacher = functools.partial(fails_once, tmp_path)
        label(tmp_path / "s", make_teacher=teacher, options=TRIES_AGAIN, **self.SETTINGS)
        assert (tmp_path / "has_failed").exists()
        build(tmp_path / "built", make_teacher=teacher, **self.SETTINGS)
        assert contents(tmp_path / "s") == contents(tmp_path / "built")

    @pytest.mark.long
    def test_every_bundle_twice(self, tmp_path):
        label(tmp_path / "s", options=["--direct_runner_bundle_repeat=1"])
        build(tmp_path / "built")
        assert contents(tmp_path / "s") == contents(tmp_path / "built")

    @pytest.mark.long
    def test_what_is_there_is_not_labelled_again(self, tmp_path):
        teacher = functools.partial(fails_once, tmp_path)
        run = functools.partial(
            label,
            tmp_path / "s",
            make_teacher=teacher,
            options=PipelineOptions(["--runner=test_beam.RecordingRunner"]),
            **self.SETTINGS,
        )
        with pytest.raises(Exception, match=r"The teacher fails\."):
            run()
        before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("s/shard_*/*")}
        num_there = len(list(tmp_path.glob("s/shard_*")))
        assert num_there < 5
        assert not list(tmp_path.glob("s/.writing-*"))
        run()
        assert RecordingRunner.num_labelled() == 50 - 10 * num_there
        assert all(path.stat().st_mtime_ns == written for path, written in before.items())

    def test_the_counter(self, tmp_path):
        label(tmp_path / "s", options=["--runner=test_beam.RecordingRunner"])
        assert RecordingRunner.num_labelled() == 50

    @pytest.mark.long
    def test_killed(self, tmp_path):
        self.start_and_kill(tmp_path, num_shards=3)
        killed, by_one, built = (tmp_path / name for name in ("store", "by_one", "built"))
        assert not json.loads((killed / "manifest.json").read_text())["is_complete"]
        assert len(list(killed.glob("shard_*"))) < 12
        shutil.copytree(killed, by_one)
        both = label_slowly.make_dataset, functools.partial(label_slowly.make_teacher, tmp_path)
        build(built, *both, **label_slowly.SETTINGS)
        build(by_one, *both, **label_slowly.SETTINGS)
        label(killed, *both, **label_slowly.SETTINGS)
        assert contents(killed) == contents(by_one) == contents(built)

    @staticmethod
    def start_and_kill(folder, num_shards):
        """Labels in a process of its own, which is killed when some shards are there."""
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, label_slowly.__file__, folder],
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 120
            while len(list(folder.glob("store/shard_*"))) < num_shards:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=60)

    def test_one_process_began(self, tmp_path):
        build(tmp_path / "built")
        shutil.copytree(tmp_path / "built", tmp_path / "s")
        shutil.rmtree(tmp_path / "s" / "shard_00001")
        manifest = read_manifest(tmp_path / "s")
        dataclasses.replace(manifest, is_complete=False).write(tmp_path / "s")
        label(tmp_path / "s", options=["--runner=test_beam.RecordingRunner"])
        assert RecordingRunner.num_labelled() == 10
        assert contents(tmp_path / "s") == contents(tmp_path / "built")

    def test_two_builders(self, tmp_path):
        (tmp_path / "s").mkdir()
        with (
            filelock.FileLock(tmp_path / "s" / ".lock"),
            pytest.raises(ValueError, match="no other process builds just now"),
        ):
            label(tmp_path / "s")

    def test_nobody_builds_beside_the_pipeline(self, tmp_path):
        def build_too():
            if list(tmp_path.glob("s/manifest.json")):
                with pytest.raises(ValueError, match="no other process builds just now"):
                    build(tmp_path / "s")
                (tmp_path / "was_refused").touch()
            return same_teacher()

        label(tmp_path / "s", make_teacher=build_too)
        assert (tmp_path / "was_refused").exists()


def random_teacher():
    keras.utils.set_random_seed(time.time_ns() % 2**32)
    return make_teacher()


def shuffled():
    return dataset().shuffle(50, seed=time.time_ns(), reshuffle_each_iteration=False)


@needs_beam
class TestErrors:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"make_dataset": dataset()},
                r"make_dataset must be a function .*Received: <.*Dataset",
            ),
            (
                {"make_dataset": lambda count: dataset(count)},
                "make_dataset must be a function with",
            ),
            ({"make_teacher": make_teacher()}, r"make_teacher must be a function .*<Functional"),
            ({"make_teacher": "teacher.keras"}, "make_teacher must be a function without"),
            ({"make_dataset": list}, "dataset must be text.Examples or a tf.data.Dataset"),
            ({"make_teacher": list}, "teacher must be a model or a function"),
            ({"options": "--runner=FlinkRunner"}, "options must be Beam's PipelineOptions, or a"),
            ({"dtype": "int8"}, "dtype must be one of"),
        ],
    )
    def test_bad_input_is_refused_before_anything_is_written(self, settings, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            label(tmp_path / "s", **settings)
        assert not (tmp_path / "s").exists()

    def test_what_cannot_be_pickled(self, tmp_path):
        examples = dataset()
        with pytest.raises(ValueError, match=r"make_dataset must be .* pickled.*within it"):
            label(tmp_path / "s", lambda: examples)

    def test_the_number_of_an_example(self, tmp_path):
        with pytest.raises(ValueError, match=r"NaN or infinity for 1 of 10 .* is number 17: float"):
            label(tmp_path / "s", one_is_nan)

    def test_workers_with_another_teacher(self, tmp_path):
        with pytest.raises(ValueError, match=r"make_teacher must .*another teacher's weights"):
            label(tmp_path / "s", make_teacher=random_teacher)
        assert not list(tmp_path.glob("s/shard_*"))

    def test_workers_with_another_data_set(self, tmp_path):
        with pytest.raises(ValueError, match=r"make_dataset must make the same examples"):
            label(tmp_path / "s", shuffled)
        assert not list(tmp_path.glob("s/shard_*"))
