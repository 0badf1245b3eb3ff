"""A store knows its classes by their names: data that counts them otherwise taught noise."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import store_examples
import tensorflow as tf

import keras_distill as kd
from keras_distill.layers import ClassNames
from keras_distill.store.manifest import read_manifest

TEXTS = ["good film", "bad film", "a cafe", "good", "bad"]
LABELS = ["b", "a", "c", "b", "a"]


def read(*names):
    return kd.text.from_lists(TEXTS, LABELS, class_names=names)


def make_teacher(names=None, units=3):
    words = kd.text.WordVocabulary.learn(TEXTS, vocabulary_size=10, sequence_length=4)
    texts = keras.Input((), dtype="string", name="text")
    vectors = keras.layers.Embedding(10, 4)(words(texts))
    logits = keras.layers.Dense(units)(keras.layers.GlobalAveragePooling1D()(vectors))
    return keras.Model(texts, logits if names is None else ClassNames(names)(logits))


@pytest.mark.parametrize("of_teacher", [None, ("a", "b", "c")])
def test_data_in_another_order_is_refused(tmp_path, of_teacher):
    data, teacher = read("a", "b", "c"), make_teacher(of_teacher)
    store = kd.TeacherStore.build(data, teacher, tmp_path / "s", verbose=0)
    assert store.class_names == ("a", "b", "c")
    assert kd.TeacherStore.open(tmp_path / "s").class_names == ("a", "b", "c")
    for right in (data, data + kd.text.from_lists(["bad film"]), data.dataset(), data[:1]):
        assert len(list(store.attach(right))) == len(right)
    for names in (("c", "b", "a"), ("b", "a", "c"), ("a", "b", "c", "d")):
        wrong = read(*names)
        message = r"in the order of the store in .*; the store in .* has 'a', 'b', 'c'"
        with pytest.raises(ValueError, match=message):
            store.attach(wrong)
        # Begun or finished, it is not built on either.
        with pytest.raises(ValueError, match=r"in the order of the .*'a', 'b', 'c'"):
            kd.TeacherStore.build(wrong, teacher, tmp_path / "s", verbose=0)


def test_a_teacher_of_other_classes_is_refused_before_it_runs(tmp_path):
    for names in (("c", "b", "a"), ("x", "y", "z")):
        with pytest.raises(ValueError, match=r"the order of the teacher.*Received: 'a', 'b', 'c'"):
            kd.TeacherStore.build(read("a", "b", "c"), make_teacher(names), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_data_may_lack_the_last_classes(tmp_path):
    teacher = make_teacher(("a", "b", "c"))
    some = kd.text.from_lists(TEXTS[:2], LABELS[:2])
    assert some.class_names == ("a", "b")
    store = kd.TeacherStore.build(some, teacher, tmp_path / "s", verbose=0)
    assert store.class_names == ("a", "b", "c")
    assert len(list(store.attach(some))) == 2


def test_pictures_in_folders_have_names(tmp_path):
    """Keras's own data sets carry them."""
    for name in "ab":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(2):
            pixels = np.full((4, 4, 3), 60 * index + ord(name), "uint8")
            keras.utils.save_img(tmp_path / "photos" / name / f"{index}.png", pixels)

    def photos(*names):
        return keras.utils.image_dataset_from_directory(
            tmp_path / "photos",
            class_names=list(names),
            image_size=(4, 4),
            shuffle=False,
            batch_size=2,
            verbose=False,
        )

    x = keras.Input((4, 4, 3))
    logits = keras.layers.Dense(2)(keras.layers.Flatten()(x))
    teacher = keras.Model(x, ClassNames(["a", "b"])(logits))
    store = kd.TeacherStore.build(photos("a", "b").unbatch(), teacher, tmp_path / "s", verbose=0)
    assert len(list(store.attach(photos("a", "b")))) == 2
    with pytest.raises(ValueError, match=r"'b', 'a'; the store in .* has 'a', 'b'"):
        store.attach(photos("b", "a"))


def test_what_has_no_classes_has_no_names(tmp_path):
    data = read("a", "b", "c")
    features = make_teacher(units=7)
    store = kd.TeacherStore.build(data, features, tmp_path / "s", verbose=0)
    assert store.class_names is None
    assert len(list(store.attach(read("c", "b", "a")))) == 5
    numbers = kd.TeacherStore.build(
        store_examples.dataset(9), store_examples.make_teacher(), tmp_path / "n", verbose=0
    )
    assert numbers.class_names is None
    # Such a manifest is that of older versions, and theirs is read.
    assert "class_names" not in json.loads((tmp_path / "n" / "manifest.json").read_text())


def test_a_store_without_names_takes_any(tmp_path):
    data = read("a", "b", "c")
    kd.TeacherStore.build(data, make_teacher(), tmp_path / "s", verbose=0)
    older = dataclasses.replace(read_manifest(tmp_path / "s"), class_names=None)
    older.write(tmp_path / "s")
    store = kd.TeacherStore.open(tmp_path / "s")
    assert store.class_names is None
    assert len(list(store.attach(read("c", "b", "a")))) == 5


@pytest.mark.long
def test_compare_matches_a_store_by_its_names(tmp_path):
    teacher = make_teacher(("a", "b", "c"))
    store = kd.TeacherStore.build(read("a", "b", "c"), teacher, tmp_path / "s", verbose=0)
    settings = {"num_threads": (), "num_resamples": 9, "verbose": 0}
    for names in (("a", "b", "c"), ("c", "a", "b")):
        found = kd.compare({"m": teacher, "s": store}, read(*names), **settings)
        expected = teacher.predict(tf.constant(TEXTS), verbose=0).argmax(1)
        accuracy = np.mean(expected == read("a", "b", "c").labels)
        assert found["m"]["accuracy"].value == found["s"]["accuracy"].value == accuracy
