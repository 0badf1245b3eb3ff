"""Teacher and student see the same view."""

import numpy as np
import pytest
import tensorflow as tf
from store_examples import dataset
from store_examples import make_teacher
from store_examples import numbers

from keras_distill import TeacherStore
from keras_distill.data import RandomViews


def add_noise(x, seed):
    return x + tf.random.stateless_normal([4], seed)


@pytest.fixture
def views():
    return RandomViews(add_noise, num_views=3)


def test_every_view_of_an_epoch_is_in_the_store(views, tmp_path):
    teacher = make_teacher()
    store = TeacherStore.build(
        views.all(dataset()), teacher, tmp_path / "s", dtype="float32", verbose=0
    )
    assert len(store) == 150
    attached = store.attach(views.random(dataset().shuffle(50, seed=1))).batch(50)
    epochs = [next(iter(attached)) for _ in range(2)]
    for x, _ in epochs:
        np.testing.assert_allclose(x.teacher_outputs, teacher(x.student), atol=1e-6)
    first, second = (np.sort(x.student[:, 0]) for x, _ in epochs)
    # Two epochs take the same of three views now and then.
    assert np.count_nonzero(first != second) > 10


def test_views_differ_and_are_found_again(views):
    rows = np.array([x for x, _ in views.all(dataset())])
    assert len(np.unique(rows, axis=0)) == 150
    np.testing.assert_array_equal(rows, [x for x, _ in views.all(dataset())])
    labels = [y for _, y in views.all(dataset())]
    np.testing.assert_array_equal(labels, np.repeat(numbers()[1], 3))
    noise = rows.reshape(50, 3, 4) - numbers()[0][:, None]
    assert abs(noise.mean()) < 0.2
    assert abs(noise.std() - 1) < 0.1


def test_another_seed_gives_other_views(views):
    others = RandomViews(add_noise, num_views=3, seed=1)
    rows = [np.array([x for x, _ in some.all(dataset())]) for some in (views, others)]
    assert not np.isin(rows[0][:, 0], rows[1][:, 0]).any()


def test_texts_and_examples_without_labels():
    texts = tf.data.Dataset.from_tensor_slices(["a", "b"])
    views = RandomViews(lambda text, seed: text + tf.strings.as_string(seed[1]), num_views=2)
    assert [text.numpy() for text in views.all(texts)] == [b"a0", b"a1", b"b0", b"b1"]
    assert all(text.numpy() in (b"a0", b"a1", b"b0", b"b1") for text in views.random(texts))


def test_random_data_that_no_store_can_hold_is_refused(tmp_path):
    noise = tf.random.Generator.from_seed(0)
    noisy = dataset().map(lambda x, y: (x + noise.normal([4]), y))
    for changing in (noisy, dataset().shuffle(50)):
        with pytest.raises(ValueError, match=r"same examples each time.*RandomViews"):
            TeacherStore.build(changing, make_teacher(), tmp_path / "s", verbose=0)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((None, 2), "augment must be a function"), ((add_noise, 0), "num_views must be an integer")],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandomViews(*arguments)
