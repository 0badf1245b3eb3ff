"""A store of others, or a damaged one: an error that names the file, and no harm."""

import dataclasses
import gc
import json
import os
import pathlib
import resource
import shutil

import numpy as np
import pytest
import tensorflow as tf
from store_examples import dataset
from store_examples import make_teacher
from store_examples import numbers

from keras_distill import TeacherStore
from keras_distill.store.manifest import read_manifest
from keras_distill.store.shards import Shard


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "whole"
    teacher = make_teacher(activation="softmax")
    TeacherStore.build(dataset(), teacher, path, shards=2, verbose=0)
    return path


@pytest.fixture
def path(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "s")


def change_description(path, change):
    file = path / "shard_00001" / "shard.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


class TestDescription:
    @pytest.mark.parametrize(
        "change",
        [
            lambda files: {},
            lambda files: [],
            lambda files: {name: {} for name in files},
            lambda files: {name: files[name] for name in list(files)[1:]},
            lambda files: {**files, "../manifest.json": files["dropped.npy"]},
            lambda files: {**files, "/dev/zero": files["dropped.npy"]},
            lambda files: {**files, "../shard_00000/output.npy": files["dropped.npy"]},
            lambda files: {**files, "dropped.npy": {"num_bytes": None, "checksum": 1}},
        ],
    )
    def test_switches_no_checksum_off(self, change, path):
        change_description(path, change)
        for use in (TeacherStore.open, check_shards):
            with pytest.raises(ValueError, match=r"shard_00001/[a-z.]+ (must list|has)"):
                use(path)

    def test_too_deep_to_read(self, path):
        (path / "shard_00001" / "shard.json").write_text("[" * 100_000)
        with pytest.raises(ValueError, match=r"shard_00001/shard.json cannot be read"):
            TeacherStore.open(path)


def check_shards(path):
    """As `build` does with those that are there."""
    for index in range(2):
        Shard(path, index).check(read_manifest(path).make_columns().values(), 25)


class TestPlaces:
    @pytest.mark.parametrize("name", ["output.logits.npy", "shard.json"])
    @pytest.mark.parametrize("target", ["/dev/zero", "elsewhere"])
    def test_outside_of_the_store(self, name, target, path, tmp_path):
        file = path / "shard_00000" / name
        if target == "elsewhere":
            target = shutil.copy(file, tmp_path / "elsewhere")
        file.unlink()
        file.symlink_to(target)
        with pytest.raises(ValueError, match=rf"{name} .*must be a file inside of the store"):
            TeacherStore.open(path)

    def test_a_shard_elsewhere(self, path, tmp_path):
        (path / "shard_00000").rename(tmp_path / "elsewhere")
        (path / "shard_00000").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ValueError, match="must be a file inside of the store"):
            TeacherStore.open(path)

    def test_a_pipe_that_nobody_writes(self, path):
        for name in ("shard_00000/output.logits.npy", "manifest.json"):
            (path / name).unlink()
            os.mkfifo(path / name)
            with pytest.raises(ValueError, match=rf"{name} .*(must be a file|it is no file)"):
                TeacherStore.open(path)

    def test_a_store_behind_a_link(self, path, tmp_path):
        (tmp_path / "link").symlink_to(path)
        assert len(TeacherStore.open(tmp_path / "link")) == 50


class TestManifest:
    def test_a_changed_value(self, path):
        text = (path / "manifest.json").read_text()
        (path / "manifest.json").write_text(text.replace('"softmax"', '"sigmoid"'))
        with pytest.raises(ValueError, match=r"manifest.json is corrupt: its checksum differs"):
            TeacherStore.open(path)

    @pytest.mark.parametrize(
        "changed",
        [
            {"num_examples": 10**15},
            {"num_examples": 0},
            {"examples_per_shard": 0},
            {"examples_per_shard": "25"},
            {"columns": {}},
            {"columns": {"output": {"shape": [10**12], "domain": None}}},
            {"columns": {"output": {"shape": None, "domain": None}}},
            {"columns": {"../output": {"shape": [3], "domain": None}}},
            {"structure": []},
            {"structure": {"output": ["output", "output"]}},
            {"top_k": -1},
            {"dtype": "float64"},
            {"dtype": "float32"},
            {"example": {}},
            {"teacher": None},
        ],
    )
    def test_of_another_kind(self, changed, path):
        """With the right checksum: somebody wrote it so."""
        dataclasses.replace(read_manifest(path), **changed).write(path)
        with pytest.raises(
            ValueError, match=rf"{path}/(manifest.json|shard_0000).*Received|cannot"
        ):
            TeacherStore.open(path)

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"format_version": "1"}'])
    def test_no_manifest(self, text, path):
        (path / "manifest.json").write_text(text)
        with pytest.raises(ValueError, match=r"manifest.json cannot be read as the manifest"):
            TeacherStore.open(path)

    def test_unknown_and_missing_fields(self, path):
        fields = json.loads((path / "manifest.json").read_text())
        fields |= {"format_version": 1, "surplus": 1}
        del fields["taps"], fields["checksum"]
        (path / "manifest.json").write_text(json.dumps(fields))
        with pytest.raises(ValueError, match=r"Received: surplus 1, taps None"):
            TeacherStore.open(path)


class TestFormat1:
    """It had probabilities as they are, and no checksum of the manifest."""

    @pytest.fixture
    def teacher(self):
        return make_teacher(activation="softmax")

    @pytest.fixture
    def begun(self, teacher, tmp_path):
        path = tmp_path / "old"
        TeacherStore.build(dataset(), teacher, path, shards=2, verbose=0)
        manifest = read_manifest(path)
        columns = {"output": {"shape": [3], "is_probability": True}}
        dataclasses.replace(manifest, format_version=1, columns=columns, is_complete=False).write(
            path
        )
        shutil.rmtree(path / "shard_00001")
        (shard,) = path.glob("shard_*")
        arrays = {n: np.load(shard / f"{n}.npy") for n in ("dropped", "fingerprints")}
        shutil.rmtree(shard)
        arrays["output"] = teacher(numbers()[0][:25]).numpy().astype("float16")
        Shard(path, 0).write(arrays)
        return path

    def test_goes_on_and_reads_as_before(self, begun, teacher):
        store = TeacherStore.build(dataset(), teacher, begun, shards=2, verbose=0)
        assert "checksum" not in json.loads((begun / "manifest.json").read_text())
        assert (begun / "shard_00001" / "output.npy").exists()
        ((x, _),) = store.attach(dataset().batch(50))
        expected = teacher(x.student).numpy().astype("float16")
        np.testing.assert_allclose(x.teacher_outputs, expected, atol=1e-3)
        np.testing.assert_array_equal(x.teacher_outputs, np.float16(x.teacher_outputs))
        assert store.output_domain == "softmax"


class TestOpenFiles:
    @pytest.mark.long
    def test_150_shards_with_256_descriptors(self, tmp_path):
        """As under macOS; three stores are open at once, as of three teachers."""
        teacher = make_teacher()
        settings = {"taps": ("output", "hidden"), "shards": 150, "verbose": 0}
        TeacherStore.build(dataset(150), teacher, tmp_path / "s", **settings)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
        try:
            stores = [TeacherStore.open(tmp_path / "s") for _ in range(3)]
            examples = dataset(150).shuffle(150, seed=0).batch(50)
            labels = [y for store in stores for _, y in store.attach(examples)]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert sum(map(len, labels)) == 450

    def test_none_stays_open_when_the_store_is_gone(self, path):
        def mapped():
            return pathlib.Path("/proc/self/maps").read_text().count(str(path))

        store = TeacherStore.open(path)
        batches = store.attach(dataset().batch(50))
        assert len(list(batches)) == 1
        assert mapped() > 0
        del store, batches
        gc.collect()
        assert mapped() == 0


class TestReadOnly:
    @pytest.mark.skipif(os.geteuid() != 0, reason="Only root can become another user.")
    def test_a_finished_store_needs_no_writing(self, tmp_path):
        """Root may write everywhere, so another user builds."""
        teacher = make_teacher()
        TeacherStore.build(dataset(), teacher, tmp_path / "s", verbose=0)
        closed = [folder for folder in tmp_path.parents if not folder.stat().st_mode & 0o001]
        for folder in [*closed, tmp_path, *(tmp_path / "s").rglob("*")]:
            folder.chmod(0o755)
        (tmp_path / "s").chmod(0o755)
        nobody = 65534
        os.setresuid(nobody, nobody, 0)
        try:
            assert not os.access(tmp_path / "s", os.W_OK)
            assert len(TeacherStore.build(dataset(), teacher, tmp_path / "s", verbose=0)) == 50
        finally:
            os.setresuid(0, 0, 0)


def rewritten(path, name, change):
    """Changes an array of a store, with the right checksum: somebody wrote it so."""
    shard = path / "shard_00001"
    arrays = {file.stem: np.load(file) for file in shard.glob("*.npy")}
    arrays[name] = change(arrays[name])
    shutil.rmtree(shard)
    Shard(path, 1).write(arrays)


class TestNumbersThatIndexOthers:
    """They were read as rows of other examples, or ended in an IndexError while data was read."""

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("ends", lambda ends: ends - 100),
            ("ends", lambda ends: ends + 1),
            ("ends", lambda ends: ends[::-1]),
            ("shapes", lambda shapes: -shapes),
            ("shapes", lambda shapes: np.add(shapes, [0, 1])),
        ],
    )
    def test_of_rows_of_several_lengths(self, name, change, tmp_path):
        path = tmp_path / "s"
        TeacherStore.build(
            dataset(), of_unknown_length, path, shards=2, version="1", dtype="float32", verbose=0
        )
        TeacherStore.open(path)
        rewritten(path, f"output.{name}", lambda array: change(array).astype(array.dtype))
        with pytest.raises(ValueError, match=r"shard_00001/output\.\w+.npy must say where"):
            TeacherStore.open(path)

    def test_of_classes(self, tmp_path):
        path = tmp_path / "s"
        TeacherStore.build(dataset(), make_teacher(), path, shards=2, top_k=2, verbose=0)
        rewritten(path, "output.classes", lambda classes: classes + 1)
        with pytest.raises(ValueError, match=r"shard_00001/output.classes.npy must say where"):
            TeacherStore.open(path)

    @pytest.mark.parametrize("places", [[-1], [25], [3, 3], [4, 3]])
    def test_of_what_is_left_out(self, places, path):
        for file in (path / "shard_00001").glob("[!d]*.npy"):
            rewritten(path, file.stem, lambda rows: rows[len(places) :])
        rewritten(path, "dropped", lambda _: np.array(places))
        with pytest.raises(ValueError, match=r"shard_00001/dropped.npy must say where"):
            TeacherStore.open(path)


def of_unknown_length(x):
    return tf.reshape(x, [tf.shape(x)[0], tf.size(x[:1]), 1])
