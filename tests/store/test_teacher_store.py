"""What a store gives back is what the teacher said, whatever the order."""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from store_examples import TEXTS
from store_examples import dataset
from store_examples import make_bert
from store_examples import make_teacher
from store_examples import numbers

import keras_distill as kd
from keras_distill import TeacherStore
from keras_distill.distillation import tap_paths
from keras_distill.distillation import taps

QUIET = {"verbose": 0}


@pytest.fixture
def teacher():
    return make_teacher()


@pytest.fixture
def store(teacher, tmp_path):
    return TeacherStore.build(dataset(), teacher, tmp_path / "store", dtype="float32", **QUIET)


def assert_taught(batches, teacher, atol=0.0):
    """The outputs beside each x are the teacher's for it."""
    num_examples = 0
    for x, y in batches:
        np.testing.assert_allclose(x.teacher_outputs, teacher(x.student), atol=atol)
        num_examples += len(y)
    return num_examples


class TestAttach:
    def test_batches_and_examples(self, store, teacher):
        assert assert_taught(store.attach(dataset().batch(8)), teacher, 1e-6) == 50
        examples = store.attach(dataset())
        assert examples.cardinality() == 50
        assert assert_taught(examples.batch(8), teacher, 1e-6) == 50

    def test_order_filter_and_repeat(self, store, teacher):
        changed = dataset().filter(lambda x, y: y != 1).shuffle(50, seed=1).repeat(3)
        num_kept = 3 * np.count_nonzero(numbers()[1] != 1)
        assert assert_taught(store.attach(changed).batch(7), teacher, 1e-6) == num_kept
        shuffled = store.attach(dataset()).shuffle(50, seed=1)
        assert assert_taught(shuffled.batch(7), teacher, 1e-6) == 50

    def test_labels_and_weights_stay(self, store):
        x, y = numbers()
        weights = np.arange(50, dtype="float32")
        parts = tf.data.Dataset.from_tensor_slices((x, y, weights))
        for attached in (store.attach(parts).batch(50), store.attach(parts.batch(50))):
            found_x, found_y, found_weights = next(iter(attached))
            np.testing.assert_array_equal(found_x.student, x)
            np.testing.assert_array_equal(found_y, y)
            np.testing.assert_array_equal(found_weights, weights)

    def test_the_teachers_view_tells_the_example(self, store, teacher):
        """The student may read something else."""
        pairs = kd.data.pair_inputs(dataset(), student=lambda x: x[:2])
        pairs = pairs.map(lambda x, y: (x._replace(teacher=x.teacher), y))
        for x, _ in store.attach(pairs).batch(50):
            assert x.student.shape == (50, 2)
            np.testing.assert_allclose(x.teacher_outputs, teacher(numbers()[0]), atol=1e-6)

    def test_missing_examples_are_named(self, store):
        others = dataset().map(lambda x, y: (x + 1, y))
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"no outputs for 50 of these 50"):
            list(store.attach(others))
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"first is float32 \(4,\) that"):
            list(store.attach(others.batch(5)))

    def test_missing_examples_are_dropped(self, store, teacher):
        mixed = dataset().map(lambda x, y: (x + tf.cast(y == 0, tf.float32), y))
        num_known = np.count_nonzero(numbers()[1] != 0)
        assert assert_taught(store.attach(mixed, "drop").batch(9), teacher, 1e-6) == num_known
        assert assert_taught(store.attach(mixed.batch(9), "drop"), teacher, 1e-6) == num_known

    def test_missing_examples_are_labelled_live(self, store, teacher):
        mixed = dataset().map(lambda x, y: (x + tf.cast(y == 0, tf.float32), y))
        live = store.attach(mixed, "teacher", teacher)
        assert assert_taught(live.batch(9), teacher, 1e-6) == 50
        with pytest.raises(ValueError, match="teacher's weights"):
            store.attach(mixed, "teacher", make_teacher())

    def test_several_teachers(self, store, teacher, tmp_path):
        other = make_teacher()
        second = TeacherStore.build(dataset(), other, tmp_path / "b", dtype="float32", **QUIET)
        pairs = kd.data.pair_inputs(dataset(), student=lambda x: x[:2], teacher=lambda x: x)
        both = second.attach(store.attach(pairs, name="first"), name="second")
        for x, _ in both.batch(50):
            expected = {"first": teacher(x.teacher), "second": other(x.teacher)}
            keras.tree.map_structure(
                lambda found, wanted: np.testing.assert_allclose(found, wanted, atol=1e-6),
                x.teacher_outputs,
                expected,
            )
        for name in (None, "first"):
            with pytest.raises(ValueError, match=r"has outputs of a teacher already. Give name"):
                second.attach(store.attach(pairs, name="first"), name=name)

    def test_other_kinds_of_x_are_refused(self, store):
        integers = dataset().map(lambda x, y: (tf.cast(x, tf.int32), y))
        for other in (integers, dataset().batch(5).batch(2)):
            with pytest.raises(ValueError, match="must yield what the store's examples are made"):
                store.attach(other)


class TestOutputs:
    def test_hidden_activations(self, teacher, tmp_path):
        store = TeacherStore.build(
            dataset(), teacher, tmp_path / "s", taps=("output", "hidden"), dtype="float32", **QUIET
        )
        ((x, _),) = store.attach(dataset()).batch(50)
        with taps.record(teacher, ["hidden"]) as recording:
            output = teacher(x.student)
        np.testing.assert_allclose(x.teacher_outputs["output"], output, atol=1e-6)
        np.testing.assert_allclose(x.teacher_outputs["hidden"], recording["hidden"], atol=1e-6)

    def test_nested_outputs(self, tmp_path):
        x = keras.Input((4,))
        heads = [keras.layers.Dense(n, name=f"head_{n}")(x) for n in (2, 3)]
        teacher = keras.Model(x, {"first": heads[0], "rest": [heads[1]]})
        store = TeacherStore.build(dataset(), teacher, tmp_path / "s", dtype="float32", **QUIET)
        ((batch, _),) = store.attach(dataset()).batch(50)
        expected = teacher(batch.student)
        # tf.data makes tensors of lists.
        assert isinstance(batch.teacher_outputs["rest"], tuple)
        np.testing.assert_allclose(batch.teacher_outputs["first"], expected["first"], atol=1e-6)
        np.testing.assert_allclose(batch.teacher_outputs["rest"][0], expected["rest"][0], atol=1e-6)

    def test_float16_is_the_nearest(self, teacher, tmp_path):
        store = TeacherStore.build(dataset(), teacher, tmp_path / "s", **QUIET)
        ((x, _),) = store.attach(dataset()).batch(50)
        assert x.teacher_outputs.dtype == tf.float32
        rounded = np.asarray(x.teacher_outputs)
        np.testing.assert_array_equal(rounded, rounded.astype("float16"))
        np.testing.assert_allclose(rounded, teacher(x.student), rtol=2**-11, atol=1e-6)

    def test_structured_inputs(self, tmp_path):
        wide, high = keras.Input((3,), name="wide"), keras.Input((2,), name="high")
        teacher = keras.Model(
            {"wide": wide, "high": high},
            keras.layers.Dense(3)(keras.layers.Concatenate()([wide, high])),
        )
        rng = np.random.default_rng(0)
        x = {"wide": rng.normal(size=(20, 3)), "high": rng.normal(size=(20, 2))}
        examples = tf.data.Dataset.from_tensor_slices(x)
        store = TeacherStore.build(examples, teacher, tmp_path / "s", dtype="float32", **QUIET)
        (batch,) = store.attach(examples).batch(20)
        np.testing.assert_allclose(batch.teacher_outputs, teacher(batch.student), atol=1e-6)


class TestTexts:
    def test_a_bert_reads_texts(self, tmp_path):
        teacher = make_bert()
        examples = kd.text.from_lists(TEXTS, [0, 1, 2, 0, 1])
        store = TeacherStore.build(examples, teacher, tmp_path / "s", dtype="float32", **QUIET)
        ((x, _),) = store.attach(examples).batch(5)
        np.testing.assert_allclose(x.teacher_outputs, teacher(tf.constant(TEXTS)), atol=1e-5)

    @pytest.mark.long
    def test_a_teacher_that_tokenizes_within(self, tmp_path):
        bert = make_bert()
        ensemble = kd.teachers.Ensemble([bert, bert])
        examples = kd.text.from_lists(TEXTS)
        store = TeacherStore.build(examples, ensemble, tmp_path / "s", dtype="float32", **QUIET)
        for x, expected in zip(store.attach(examples), ensemble(tf.constant(TEXTS))):
            np.testing.assert_allclose(x.teacher_outputs, expected, atol=1e-5)

    def test_hidden_states_have_the_lengths_of_their_texts(self, tmp_path):
        teacher = make_bert()
        examples = kd.text.from_lists(TEXTS)
        layer = next(
            p for p, _ in tap_paths.layer_paths(teacher) if p.endswith("transformer_layer_0")
        )
        store = TeacherStore.build(
            examples, teacher, tmp_path / "s", taps=("output", layer), dtype="float32", **QUIET
        )
        with taps.record(teacher, [layer]) as recording:
            teacher(tf.constant(TEXTS))
        expected = recording[layer].numpy()
        lengths = [6, 4, 12, 3, 4]
        for row, length, x in zip(expected, lengths, store.attach(examples)):
            assert x.teacher_outputs[layer].shape == (length, 8)
            np.testing.assert_allclose(x.teacher_outputs[layer], row[:length], atol=1e-5)
        (batch,) = store.attach(examples.dataset().batch(5))
        padded = np.where(np.arange(12)[:, None] < np.array(lengths)[:, None, None], expected, 0)
        np.testing.assert_allclose(batch.teacher_outputs[layer], padded, atol=1e-5)

    @pytest.mark.long
    def test_words_to_tag(self, tmp_path):
        teacher = make_bert(per_word=True)
        words = [text.split() for text in TEXTS]
        examples = kd.text.from_lists(words, [["O"] * len(w) for w in words], tags=True)
        store = TeacherStore.build(examples, teacher, tmp_path / "s", dtype="float32", **QUIET)
        for (x, tags), own in zip(store.attach(examples), words):
            expected = teacher(tf.constant([own]))[0]
            np.testing.assert_allclose(x.teacher_outputs, expected, atol=1e-5)
            assert len(tags) == len(own)

    @pytest.mark.long
    def test_batched_by_length_behind_the_store(self, tmp_path):
        teacher = make_bert()
        examples = kd.text.from_lists(TEXTS, [0, 1, 2, 0, 1])
        store = TeacherStore.build(examples, teacher, tmp_path / "s", dtype="float32", **QUIET)
        vocabulary = kd.text.WordVocabulary.learn(TEXTS, vocabulary_size=20)
        batches = kd.text.batch_by_length(store.attach(examples), vocabulary, batch_size=2)
        texts = {tuple(vocabulary([text]).numpy()[0]): text for text in TEXTS}
        for x, _ in batches:
            for ids, outputs in zip(x.student.numpy(), x.teacher_outputs):
                text = texts[tuple(ids[ids > 0])]
                np.testing.assert_allclose(outputs, teacher(tf.constant([text]))[0], atol=1e-5)


class TestTraining:
    @pytest.mark.long
    def test_the_same_weights_as_with_the_live_teacher(self, store, teacher):
        weights = []
        for batches in (dataset().batch(10), store.attach(dataset().batch(10))):
            keras.utils.set_random_seed(0)
            student = make_teacher()
            distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.3)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            distiller.compile(keras.optimizers.SGD(0.5), loss)
            distiller.fit(batches, epochs=3, shuffle=False, verbose=0)
            weights.append(student.get_weights())
        for live, stored in zip(*weights):
            np.testing.assert_allclose(live, stored, atol=1e-5)

    @pytest.mark.long
    def test_batches_of_all_lengths_are_traced_once(self, tmp_path):
        num_traces = 0

        class CountedDistiller(kd.Distiller):
            def train_step(self, data):
                nonlocal num_traces
                num_traces += 1
                return super().train_step(data)

        examples = kd.text.from_lists(TEXTS, [0, 1, 2, 0, 1])
        store = TeacherStore.build(examples, make_bert(), tmp_path / "s", **QUIET)
        vocabulary = kd.text.WordVocabulary.learn(TEXTS, vocabulary_size=20)
        batches = kd.text.batch_by_length(
            store.attach(examples), vocabulary, bucket_lengths=(1, 2, 4, 8, 12), batch_size=2
        )
        assert len({ids.student.shape[1] for ids, _ in batches}) >= 3
        student = kd.students.bilstm(vocabulary, 3, embedding_dim=4, units=4, dense_units=4)
        distiller = CountedDistiller(
            student=student, soft_loss=kd.losses.SoftTargetKL(teacher_from_logits=True)
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        distiller.compile("adam", loss)
        distiller.fit(batches, epochs=3, shuffle=False, verbose=0)
        assert num_traces == 1

    def test_without_a_teacher(self, store):
        student = make_teacher()
        distiller = kd.Distiller(
            student=student,
            alpha=0.0,
            soft_loss=kd.losses.SoftTargetKL(2.0, teacher_from_logits=True),
        )
        distiller.compile("adam")
        batches = store.attach(dataset()).batch(10)
        losses = distiller.fit(batches, epochs=5, shuffle=False, verbose=0).history["soft_loss"]
        assert losses[-1] < losses[0]


class TestTopK:
    @pytest.fixture(params=[None, "softmax"])
    def many(self, request):
        x = keras.Input((4,))
        kernel = keras.initializers.RandomNormal(stddev=3.0)
        logits = keras.layers.Dense(
            1000, activation=request.param, kernel_initializer=kernel, name="logits"
        )
        return keras.Model(x, logits(x))

    def test_the_loss_and_its_gradient_are_near_the_dense_ones(self, many, tmp_path):
        """The oracle, in float64: the teacher's classes but the top 10 made equal."""
        store = TeacherStore.build(dataset(), many, tmp_path / "s", top_k=10, **QUIET)
        ((x, _),) = store.attach(dataset()).batch(50)
        exact = many(x.student).numpy().astype("float64")
        if many.layers[-1].activation is not keras.activations.softmax:
            exact = scipy.special.softmax(exact, axis=-1)
        is_top = np.argsort(np.argsort(-exact, axis=-1), axis=-1) < 10
        tail = np.sum(np.where(is_top, 0, exact), axis=-1, keepdims=True)
        expected = np.where(is_top, exact, tail / 990)
        student = tf.constant(np.random.default_rng(1).normal(size=(50, 1000)), tf.float32)
        log_student = scipy.special.log_softmax(np.asarray(student, "float64"), axis=-1)
        kl = np.sum(expected * (np.log(expected) - log_student), axis=-1)
        with tf.GradientTape() as tape:
            tape.watch(student)
            loss = kd.losses.SoftTargetKL(1.0, teacher_from_logits=True, reduction=None)
            values = loss(x.teacher_outputs, student)
        np.testing.assert_allclose(values, kl, rtol=2e-3)
        # A student learns every class's probability; only those of the tail move, to their mean.
        gradient = tape.gradient(values, student)
        dense = np.exp(log_student) - exact
        assert np.all(np.abs(gradient - dense).sum(-1) <= 2 * tail[:, 0] + 2e-3)

    def test_the_tail_has_its_mass_and_the_top_its_order(self, many, tmp_path):
        store = TeacherStore.build(dataset(), many, tmp_path / "s", top_k=10, **QUIET)
        ((x, _),) = store.attach(dataset()).batch(50)
        exact = many(x.student).numpy()
        probabilities = np.exp(np.asarray(x.teacher_outputs, "float64"))
        np.testing.assert_allclose(probabilities.sum(-1), 1, atol=2e-3)
        np.testing.assert_array_equal(
            np.argsort(-exact, axis=-1)[:, :3], np.argsort(-probabilities, axis=-1)[:, :3]
        )

    @pytest.mark.long_but_first
    def test_the_size(self, many, tmp_path):
        def num_bytes(top_k):
            path = tmp_path / f"top_{top_k}"
            TeacherStore.build(dataset(4000), many, path, top_k=top_k, **QUIET)
            return sum(file.stat().st_size for file in path.rglob("output*.npy"))

        assert num_bytes(10) <= 0.06 * num_bytes(None)

    def test_outputs_that_do_not_exclude_each_other(self, tmp_path):
        teacher = make_teacher(activation="sigmoid")
        with pytest.raises(ValueError, match=r"or has values, of no softmax"):
            TeacherStore.build(dataset(), teacher, tmp_path / "s", top_k=2, **QUIET)

    def test_more_than_the_classes(self, teacher, tmp_path):
        with pytest.raises(ValueError, match=r"top_k must be less.*shape \(3,\).*top_k=3"):
            TeacherStore.build(dataset(), teacher, tmp_path / "s", top_k=3, **QUIET)


@pytest.mark.parametrize("layer", ["StringLookup", "TextVectorization"])
def test_words_that_a_layer_of_keras_has_adapted_to(layer, tmp_path):
    """They are in no weight and in no configuration: another vocabulary was not seen."""

    def teacher(seen):
        keras.utils.set_random_seed(0)
        lookup = getattr(keras.layers, layer)()
        lookup.adapt(seen)
        x = keras.Input((), dtype="string")
        hidden = keras.layers.Embedding(5, 2)(lookup(x))
        if len(hidden.shape) == 3:
            hidden = keras.layers.GlobalAveragePooling1D()(hidden)
        return keras.Model(x, keras.layers.Dense(3)(hidden))

    one, same, other = teacher(["a", "b", "b"]), teacher(["a", "b", "b"]), teacher(["a", "a", "b"])
    examples = tf.data.Dataset.from_tensor_slices(["a", "b", "b"])
    TeacherStore.build(examples, one, tmp_path / "s", verbose=0)
    TeacherStore.open(tmp_path / "s", teacher=same)
    with pytest.raises(ValueError, match="another teacher's vocabulary"):
        TeacherStore.open(tmp_path / "s", teacher=other)
