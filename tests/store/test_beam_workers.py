"""Workers make data set and teacher anew: what is not the launcher's is found at once."""

import concurrent.futures
import functools
import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from store_examples import contents
from store_examples import dataset
from store_examples import make_teacher
from store_examples import numbers

import keras_distill as kd
from keras_distill import TeacherStore
from keras_distill.store.beam import ShardWorker
from keras_distill.store.build import build_store
from keras_distill.store.manifest import read_manifest
from keras_distill.store.plan import fingerprint_first
from keras_distill.store.plan import read_examples

ROOT = pathlib.Path(__file__).parents[2]
NUM_SHARDS = 5
# More than are compared at the beginning.
NUM_EXAMPLES = 100

examples_of_store = functools.partial(dataset, NUM_EXAMPLES)


def same_teacher():
    keras.utils.set_random_seed(0)
    return make_teacher()


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "whole"
    TeacherStore.build(examples_of_store(), same_teacher(), path, shards=NUM_SHARDS, verbose=0)
    return path


@pytest.fixture
def begun(whole, tmp_path):
    """A store of which only the manifest is there."""
    (tmp_path / "begun").mkdir()
    shutil.copy(whole / "manifest.json", tmp_path / "begun")
    return tmp_path / "begun"


def worker(path, make_dataset=examples_of_store, make_teacher=same_teacher):
    first = fingerprint_first(read_examples(examples_of_store()))
    return ShardWorker(path, make_dataset, make_teacher, first, batch_size=None, drop_nan=False)


def test_in_any_order(whole, begun):
    some = worker(begun)
    for index in reversed(range(NUM_SHARDS)):
        some.label(index)
    assert contents(begun) == contents(whole)


def test_two_workers_on_every_shard(whole, begun):
    def label_all(some):
        for index in range(NUM_SHARDS):
            some.label(index)

    workers = [worker(begun) for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        list(threads.map(label_all, workers, timeout=120))
    assert contents(begun) == contents(whole)


def x_of_store():
    return numbers(NUM_EXAMPLES)[0]


def test_a_shard_that_is_there_is_compared(whole):
    labelled = []
    worker(whole).label(4, labelled.append)
    assert not labelled
    x = x_of_store()
    x[-1] = 0
    with pytest.raises(ValueError, match=r"others than those of .*shard_00004"):
        worker(whole, lambda: tf.data.Dataset.from_tensor_slices(x)).label(4)


def from_generator(num_examples):
    """A data set that does not know how many examples it has."""
    rows = x_of_store()[:num_examples]
    signature = tf.TensorSpec((4,), "float32")
    return tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=signature)


@pytest.mark.parametrize(
    ("make_dataset", "found"),
    [
        (functools.partial(dataset, 40), "40 examples instead of 100"),
        (lambda: examples_of_store().shuffle(50, seed=1), "others at the beginning"),
        (lambda: examples_of_store().map(lambda x, y: tf.cast(x, "float64")), "others at the beg"),
        (functools.partial(from_generator, 0), "others at the beginning"),
    ],
)
def test_another_data_set(make_dataset, found, begun):
    with pytest.raises(ValueError, match=f"make_dataset must make the same examples.*{found}"):
        worker(begun, make_dataset)


@pytest.mark.parametrize("num_examples", [99, 70])
def test_a_data_set_that_ends_early(num_examples, begun):
    some = worker(begun, functools.partial(from_generator, num_examples))
    some.label(2)
    with pytest.raises(ValueError, match="fewer than 100 of 100 examples"):
        some.label(4)


def test_another_teacher(begun):
    with pytest.raises(ValueError, match=r"make_teacher must .*another teacher's weights, '"):
        worker(begun, make_teacher=make_teacher)


def test_a_folder_that_the_worker_does_not_see(tmp_path):
    with pytest.raises(ValueError, match=r"all workers see.*where a worker finds no store"):
        worker(tmp_path / "elsewhere")


def test_shards_that_went_elsewhere(begun):
    plan = read_manifest(begun)
    plan.is_complete = False
    some = worker(begun)
    with pytest.raises(ValueError, match=r"4 of 5 shards are missing .*first is shard_00001"):
        build_store(begun, plan, lambda: some.label(0), drop_nan=False)
    assert not read_manifest(begun).is_complete


def test_texts_are_sliced():
    examples = kd.text.from_lists(["a", "b", "c", "d"], [0, 1, 0, 1])
    assert list(read_examples(examples, 1, 3).as_numpy_iterator()) == [b"b", b"c"]


def test_photos_of_the_docs_are_sliced(tmp_path):
    block = (ROOT / "docs" / "scaling.md").read_text().split("```python\n")[2].split("```")[0]
    # Only those of the slice can be read.
    paths = [str(tmp_path / f"{number}.png") for number in range(4)]
    for number in (1, 2):
        photo = np.full((8, 8, 3), number, "uint8")
        tf.io.write_file(paths[number], tf.io.encode_png(photo))
    # Dataclasses look for their module.
    names = {"__name__": __name__}
    exec(compile(block, "scaling.md", "exec"), names)
    photos = list(read_examples(names["Photos"](paths), 1, 3).as_numpy_iterator())
    assert [photo.shape for photo in photos] == [(224, 224, 3)] * 2
    assert [photo.max() for photo in photos] == [1, 2]
