"""A store that is built is whole, of one teacher, and never silently another's."""

import concurrent.futures
import dataclasses
import gc
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import filelock
import keras
import numpy as np
import pytest
import tensorflow as tf
from store_examples import TEXTS
from store_examples import TOKENS
from store_examples import contents
from store_examples import dataset
from store_examples import make_bert
from store_examples import make_teacher
from store_examples import numbers

import keras_distill as kd
from keras_distill import TeacherStore
from keras_distill.store.columns import FixedColumn
from keras_distill.store.label import Labeller
from keras_distill.store.manifest import read_manifest
from keras_distill.store.shards import Shard
from keras_distill.store.shards import loader
from keras_distill.teachers.identity import identify_teacher

KILL_BUILDS = pathlib.Path(__file__).with_name("kill_builds.py")


@pytest.fixture
def teacher():
    return make_teacher()


def build(teacher, path, examples=None, **settings):
    examples = dataset() if examples is None else examples
    settings = {"shards": 5, "verbose": 0, **settings}
    return TeacherStore.build(examples, teacher, path, **settings)


def count_labelled(monkeypatch):
    """A list that grows by the number of examples of each chunk that a teacher labels."""
    chunks, label = [], Labeller.label

    def counting_label(self, batches, num_examples, on_batch=None):
        chunks.append(num_examples)
        return label(self, batches, num_examples, on_batch)

    monkeypatch.setattr(Labeller, "label", counting_label)
    return chunks


class TestResuming:
    @pytest.mark.long
    def test_killed_at_twenty_moments(self, tmp_path):
        printed = subprocess.run(
            [sys.executable, KILL_BUILDS, tmp_path, "20"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        # Else the moments were all before the first shard, or after the last.
        assert int(printed) >= 5
        whole = contents(tmp_path / "whole")
        assert len([name for name in whole if name.startswith("shard_")]) == 12 * 4
        for number in range(20):
            assert contents(tmp_path / f"killed_{number}") == whole

    def test_only_what_is_missing_is_labelled(self, teacher, tmp_path, monkeypatch):
        build(teacher, tmp_path / "s")
        whole = contents(tmp_path / "s")
        manifest = read_manifest(tmp_path / "s")
        chunks = count_labelled(monkeypatch)
        for is_complete in (True, False):
            shutil.rmtree(tmp_path / "s" / "shard_00003")
            dataclasses.replace(manifest, is_complete=is_complete).write(tmp_path / "s")
            build(teacher, tmp_path / "s")
            assert contents(tmp_path / "s") == whole
        assert chunks == [10, 10]

    def test_a_finished_store_is_opened(self, teacher, tmp_path, monkeypatch):
        build(teacher, tmp_path / "s")
        before = contents(tmp_path / "s")
        chunks = count_labelled(monkeypatch)
        assert len(build(teacher, tmp_path / "s")) == 50
        assert not chunks
        assert contents(tmp_path / "s") == before

    def test_a_finished_store_of_other_examples(self, tmp_path):
        """Of as many; its answers were taken for those of the new examples."""
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        x = np.arange(40.0).reshape(20, 2)
        for place in (0, 19):
            others = x.copy()
            others[place] += 1
            data, other = map(tf.data.Dataset.from_tensor_slices, (x, others))
            TeacherStore.build(data, model, tmp_path / f"s{place}", verbose=0)
            with pytest.raises(ValueError, match="must yield the examples of the earlier run"):
                TeacherStore.build(other, model, tmp_path / f"s{place}", verbose=0)


@pytest.mark.long
def test_many_shards_do_not_exhaust_the_open_files(tmp_path):
    load = loader()
    shards = [Shard(tmp_path, index, load) for index in range(400)]
    before = len(os.listdir("/proc/self/fd"))
    for index, shard in enumerate(shards):
        shard.write({"output": np.full(3, index)})
        np.testing.assert_array_equal(shard.read("output"), [index] * 3)
    assert len(os.listdir("/proc/self/fd")) - before <= 260
    np.testing.assert_array_equal(shards[0].read("output"), [0] * 3)
    del load, shards, shard
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


COLUMNS = [FixedColumn("output", (), "float32")]


def shard_arrays(value):
    return {
        "output": np.full(3, value, "float32"),
        "fingerprints": np.zeros((3, 2), "uint64"),
        "dropped": np.zeros(0, "int64"),
    }


class TestWritersOfOneShard:
    def test_at_once(self, tmp_path):
        arrays = shard_arrays(0.0)
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            for index in range(20):
                shard, together = Shard(tmp_path, index), threading.Barrier(4)

                def write(shard=shard, together=together):
                    together.wait(timeout=60)
                    shard.write(arrays)

                for future in [threads.submit(write) for _ in range(4)]:
                    future.result(timeout=60)
                shard.check(COLUMNS, 3)
        assert sorted(os.listdir(tmp_path)) == [f"shard_{index:05d}" for index in range(20)]

    def test_the_first_one_stays(self, tmp_path):
        shard = Shard(tmp_path, 0)
        for value in (1, 2):
            shard.write(shard_arrays(value))
        np.testing.assert_array_equal(shard.read("output"), [1, 1, 1])
        shard.check(COLUMNS, 3)
        assert os.listdir(tmp_path) == ["shard_00000"]

    def test_what_killed_ones_left_is_removed(self, teacher, tmp_path):
        build(teacher, tmp_path / "whole")
        left = tmp_path / "s" / ".writing-killed"
        left.mkdir(parents=True)
        (left / "output.npy").touch()
        build(teacher, tmp_path / "s")
        assert contents(tmp_path / "s") == contents(tmp_path / "whole")
        assert not left.exists()


class TestChanges:
    """What changes is named; nothing is labelled or written."""

    @pytest.fixture
    def path(self, teacher, tmp_path):
        build(teacher, tmp_path / "s")
        return tmp_path / "s"

    @pytest.mark.parametrize(
        ("changed", "named"),
        [
            ({"dtype": "float32"}, "dtype"),
            ({"taps": ("output", "hidden")}, "taps"),
            ({"top_k": 2}, "top_k"),
            ({"shards": 2}, "examples_per_shard"),
            ({"examples": dataset(40)}, "num_examples"),
            ({"examples": dataset().map(lambda x, y: tf.cast(x, tf.float64))}, "example"),
        ],
    )
    def test_settings_and_data(self, changed, named, teacher, path):
        before = contents(path)
        with pytest.raises(ValueError, match=f"with another {named}. Received: .*; stored: "):
            build(teacher, path, **changed)
        assert contents(path) == before

    def test_a_store_without_a_shard_is_no_teachers_yet(self, teacher, tmp_path):
        broken = make_teacher()
        broken.layers[1].kernel.assign(np.full((4, 6), np.nan))
        with pytest.raises(ValueError, match="NaN or infinity"):
            build(broken, tmp_path / "s")
        build(teacher, tmp_path / "s")
        assert len(TeacherStore.open(tmp_path / "s", teacher)) == 50

    def test_the_teachers_weights(self, teacher, path):
        teacher.layers[1].kernel.assign_add(1e-3 * np.ones((4, 6), "float32"))
        with pytest.raises(ValueError, match="another teacher's weights"):
            build(teacher, path)
        with pytest.raises(ValueError, match="another teacher's weights"):
            TeacherStore.open(path, teacher)

    def test_the_teachers_configuration(self, teacher, path):
        other = keras.models.clone_model(
            teacher, call_function=lambda layer, x: layer(x), clone_function=_with_relu
        )
        other.set_weights(teacher.get_weights())
        with pytest.raises(ValueError, match="another teacher's config"):
            TeacherStore.open(path, other)

    def test_a_rebuilt_teacher_is_the_same(self, teacher, path, tmp_path):
        """Keras counts on in the names of its layers."""
        rebuilt = make_teacher()
        rebuilt.set_weights(teacher.get_weights())
        assert len(TeacherStore.open(path, rebuilt)) == 50
        teacher.save(tmp_path / "teacher.keras")
        loaded = keras.models.load_model(tmp_path / "teacher.keras")
        assert len(TeacherStore.open(path, loaded)) == 50

    def test_a_rebuilt_bert_is_the_same(self):
        """A dropout in its attention is called as the one before its classifier."""
        configs = [identify_teacher(make_bert(), None)["config"] for _ in range(3)]
        assert len(set(configs)) == 1

    def test_a_compiled_teacher_is_the_same(self):
        """An evaluation of the teacher must not cost its stored answers."""
        teacher = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        before = identify_teacher(teacher, None)
        teacher.compile("adam", "mse")
        assert identify_teacher(teacher, None) == before

    @pytest.mark.long
    def test_a_teacher_that_has_run_is_the_same(self, tmp_path):
        """Its layers then know the shapes that they were built for."""
        bert = make_bert()
        examples = tf.data.Dataset.from_tensor_slices(TEXTS)
        store = build(bert, tmp_path / "s", examples)
        assert len(TeacherStore.open(store.directory, bert)) == len(TEXTS)

    def test_the_vocabulary(self, tmp_path):
        examples = kd.text.from_lists(TEXTS)
        bert = make_bert()
        build(bert, tmp_path / "s", examples, shards=1)
        other = make_bert(tokens=[*TOKENS[:-1], "!"])
        other.set_weights(bert.get_weights())
        with pytest.raises(ValueError, match=r"another teacher's (config|vocabulary)"):
            TeacherStore.open(tmp_path / "s", other)

    def test_the_examples_of_a_shard(self, teacher, path):
        dataclasses.replace(read_manifest(path), is_complete=False).write(path)
        shuffled = dataset().shuffle(50, seed=1, reshuffle_each_iteration=False)
        with pytest.raises(ValueError, match="must yield the examples of the earlier run"):
            build(teacher, path, shuffled)

    def test_a_teacher_without_weights_has_a_version(self, tmp_path):
        def double(x):
            return 2 * x

        with pytest.raises(ValueError, match=r"teacher has no weights.*Give version"):
            build(double, tmp_path / "s")
        build(double, tmp_path / "s", version="1")
        with pytest.raises(ValueError, match=r"teacher's version. Received: '2'; stored: '1'"):
            build(double, tmp_path / "s", version="2")


def _with_relu(layer):
    config = layer.get_config()
    if config.get("activation") == "tanh":
        config["activation"] = "relu"
    return type(layer).from_config(config)


class TestDamage:
    """Found when the store is opened, before anything is trained."""

    @pytest.fixture
    def path(self, teacher, tmp_path):
        build(teacher, tmp_path / "s")
        return tmp_path / "s"

    def test_corrupt(self, path):
        file = path / "shard_00002" / "output.npy"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
        with pytest.raises(ValueError, match=r"shard_00002/output.npy is corrupt.*build the store"):
            TeacherStore.open(path)

    def test_truncated(self, path):
        file = path / "shard_00002" / "output.npy"
        file.write_bytes(file.read_bytes()[:-3])
        with pytest.raises(ValueError, match=r"output.npy has 185 bytes, not the 188"):
            TeacherStore.open(path)

    @pytest.mark.parametrize("name", ["output.npy", "shard.json"])
    def test_missing_file(self, name, path):
        (path / "shard_00002" / name).unlink()
        with pytest.raises(ValueError, match=f"shard_00002/{name} (is missing|cannot be read)"):
            TeacherStore.open(path)

    def test_missing_shard_is_labelled_again(self, path, teacher):
        before = contents(path)
        shutil.rmtree(path / "shard_00002")
        with pytest.raises(ValueError, match=r"shard_00002.*cannot be read"):
            TeacherStore.open(path)
        build(teacher, path)
        assert contents(path) == before

    def test_newer_format(self, path, teacher):
        manifest = json.loads((path / "manifest.json").read_text())
        newer = {**manifest, "format_version": 99, "unknown": 1}
        (path / "manifest.json").write_text(json.dumps(newer))
        for use in (TeacherStore.open, lambda path: build(teacher, path)):
            with pytest.raises(ValueError, match=r"has the format 99.*pip install --upgrade"):
                use(path)

    def test_no_store(self, tmp_path):
        with pytest.raises(ValueError, match="which is not there"):
            TeacherStore.open(tmp_path / "none")
        (tmp_path / "manifest.json").write_text("{")
        with pytest.raises(ValueError, match="cannot be read as the manifest"):
            TeacherStore.open(tmp_path)

    def test_an_unfinished_store(self, path):
        dataclasses.replace(read_manifest(path), is_complete=False).write(path)
        with pytest.raises(ValueError, match=r"not finished. Run TeacherStore.build"):
            TeacherStore.open(path)

    def test_it_may_be_moved(self, path, teacher):
        path.rename(path.with_name("elsewhere"))
        store = TeacherStore.open(path.with_name("elsewhere"), teacher)
        ((x, _),) = store.attach(dataset()).batch(50)
        np.testing.assert_allclose(x.teacher_outputs, teacher(x.student), atol=2e-3)


class TestFaults:
    def test_nan_is_named_or_dropped(self, teacher, tmp_path):
        x, y = numbers()
        x[17, 2] = np.nan
        examples = tf.data.Dataset.from_tensor_slices((x, y))
        with pytest.raises(ValueError, match=r"NaN or infinity for 1 of 10.* number 17: float32"):
            build(teacher, tmp_path / "s", examples)
        store = build(teacher, tmp_path / "s", examples, drop_nan=True)
        assert len(store) == 49
        assert len(list(store.attach(examples, "drop"))) == 49
        build(teacher, tmp_path / "s", examples, drop_nan=True)
        with pytest.raises(ValueError, match="drop_nan=True, and 1 examples were left out"):
            build(teacher, tmp_path / "s", examples)

    def test_a_whole_shard_of_nan(self, teacher, tmp_path):
        x, y = numbers()
        x[10:20] = np.nan
        examples = tf.data.Dataset.from_tensor_slices((x, y))
        assert len(build(teacher, tmp_path / "s", examples, drop_nan=True)) == 40

    def test_too_large_for_float16(self, teacher, tmp_path):
        teacher.layers[-1].bias.assign([7e4, 0, 0])
        with pytest.raises(ValueError, match=r"values of 7e\+04, and float16 holds 65,504"):
            build(teacher, tmp_path / "s")
        build(teacher, tmp_path / "s32", dtype="float32")

    def test_two_builders(self, teacher, tmp_path):
        (tmp_path / "s").mkdir()
        with (
            filelock.FileLock(tmp_path / "s" / ".lock"),
            pytest.raises(ValueError, match="no other process builds just now"),
        ):
            build(teacher, tmp_path / "s")
        assert not list((tmp_path / "s").glob("shard_*"))
        build(teacher, tmp_path / "s")

    def test_a_read_only_folder(self, teacher, tmp_path, monkeypatch):
        # Root may write everywhere.
        monkeypatch.setattr(os, "access", lambda path, mode: pathlib.Path(path) != tmp_path)
        with pytest.raises(PermissionError, match="directory must be where you may write"):
            build(teacher, tmp_path / "s")

    def test_a_full_disk(self, teacher, tmp_path):
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(disk)]
        if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("A small disk can be made by root only.")
        try:
            with pytest.raises(OSError, match=r"cannot be written: No space left.*build again"):
                build(teacher, disk / "s")
            written = contents(disk / "s")
        finally:
            subprocess.run(["umount", str(disk)], check=True)
        build(teacher, tmp_path / "s")
        whole = contents(tmp_path / "s")
        names = [name for name in written if name != "manifest.json"]
        assert names
        assert all(written[name] == whole[name] for name in names)


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"taps": ()}, "taps must be different paths"),
            ({"taps": ("output", "hiden")}, "nearest are: .*hidden"),
            ({"dtype": "int8"}, "dtype must be one of"),
            ({"shards": 0}, "shards must be an integer of 1 or more"),
            ({"batch_size": 0}, "batch_size must be an integer"),
            ({"examples": dataset().repeat()}, "must be finite"),
            ({"examples": dataset().take(0)}, "must hold an example"),
            ({"examples": dataset().batch(5)}, r"single examples.*x of shape \[None, 4\].*unbatch"),
            ({"examples": numbers()[0]}, "from_tensor_slices makes one of arrays"),
        ],
    )
    def test_is_refused_before_anything_is_written(self, settings, message, teacher, tmp_path):
        with pytest.raises(ValueError, match=message):
            build(teacher, tmp_path / "s", **settings)
        assert not (tmp_path / "s").exists()

    def test_outputs_that_are_not_of_the_examples(self, tmp_path):
        with pytest.raises(ValueError, match=r"one row for each example, 32 here. .*shape \(4,\)"):
            build(lambda x: tf.reduce_sum(x, axis=0), tmp_path / "s", version="1")

    def test_a_file_in_place_of_the_folder(self, teacher, tmp_path):
        (tmp_path / "s").touch()
        with pytest.raises(ValueError, match="directory must be a folder"):
            build(teacher, tmp_path / "s")
