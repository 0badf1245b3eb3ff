"""An example that is another in the second epoch of `fit` is not taught what the first was."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from store_examples import TEXTS
from store_examples import make_bert

import keras_distill as kd

CHANGED = "the film is the cafe"
# A data set that drops examples does not know how many it has.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")


class Texts:
    """Texts that a callback changes: the second is another once an epoch has ended."""

    def __init__(self):
        self.has_changed = False
        self.change = keras.callbacks.LambdaCallback(on_epoch_end=self._change)

    def _change(self, epoch, logs):
        self.has_changed = True

    def dataset(self):
        spec = tf.TensorSpec((), tf.string)
        texts = tf.data.Dataset.from_generator(self._generate, output_signature=spec)
        return texts.apply(tf.data.experimental.assert_cardinality(len(TEXTS)))

    def _generate(self):
        yield from [TEXTS[0], CHANGED if self.has_changed else TEXTS[1], *TEXTS[2:]]


@pytest.fixture
def teacher():
    keras.utils.set_random_seed(0)
    teacher = make_bert()
    # One that tells its classes apart, so that what is taught shows in the student.
    kernel = teacher.trainable_variables[-2]
    kernel.assign(10 * np.random.default_rng(0).normal(size=kernel.shape))
    return teacher


@pytest.fixture
def store(teacher, tmp_path):
    examples = tf.data.Dataset.from_tensor_slices(TEXTS)
    return kd.TeacherStore.build(examples, teacher, tmp_path / "s", dtype="float32", verbose=0)


def train(prepare, teacher=None):
    """The student's weights after two epochs of what `prepare` makes of the texts."""
    texts, words = (
        Texts(),
        kd.text.WordVocabulary.learn([*TEXTS, CHANGED], vocabulary_size=30, sequence_length=8),
    )
    keras.utils.set_random_seed(1)
    student = kd.students.text_cnn(words, 3, embedding_dim=4, dropout=0.0)
    loss = kd.losses.SoftTargetKL(teacher_from_logits=True, student_from_logits=True)
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.0, soft_loss=loss)
    distiller.compile(keras.optimizers.SGD(0.5))

    def with_student(x):
        return x._replace(student=words(x.student))

    batches = prepare(texts).map(with_student)
    distiller.fit(batches, epochs=2, shuffle=False, verbose=0, callbacks=[texts.change])
    return student.get_weights()


def live(texts):
    """For a teacher that reads the texts in the step."""
    return texts.dataset().batch(5).map(lambda x: kd.DistillationInputs(x, teacher=x))


def assert_same(weights, expected):
    for found, wanted in zip(weights, expected):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_an_error_names_it(store):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"the first is '{CHANGED}'"):
        train(lambda texts: store.attach(texts.dataset().batch(5)))


@pytest.mark.long
def test_dropped(store, teacher):
    def without_it(texts):
        kept = texts.dataset().filter(lambda text: text != CHANGED)
        return kept.batch(5).map(lambda x: kd.DistillationInputs(x, teacher=x))

    weights = train(lambda texts: store.attach(texts.dataset().batch(5), "drop"))
    assert_same(weights, train(without_it, teacher))


@pytest.mark.long
def test_labelled_live(store, teacher):
    weights = train(lambda texts: store.attach(texts.dataset().batch(5), "teacher", teacher))
    assert_same(weights, train(live, teacher))
