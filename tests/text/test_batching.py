import collections
import functools
import itertools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill.teachers import text_classifier
from keras_distill.text import Examples
from keras_distill.text import WordPieceVocabulary
from keras_distill.text import WordVocabulary
from keras_distill.text import batch_by_length
from keras_distill.text import from_lists

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = WordVocabulary([str(i) for i in range(200)], sequence_length=16)
PIECES = WordPieceVocabulary(
    [*SPECIAL, *map(str, range(10)), *(f"##{i}" for i in range(10))],
    sequence_length=40,
    add_special_tokens=True,
)
BUCKETS = (4, 8, 16, 40)
RNG = np.random.default_rng(0)
# Each begins with a number of its own.
TEXTS = [" ".join([str(i), *map(str, RNG.integers(0, 200, i % 11))]) for i in range(150)]
LABELS = np.arange(150, dtype="int32")


def dataset(*rest, texts=TEXTS):
    return tf.data.Dataset.from_tensor_slices((texts, *rest) if rest else texts)


def batched(data, student=WORDS, teacher=None, **options):
    options = {"bucket_lengths": BUCKETS, "tokens_per_batch": 64, **options}
    return batch_by_length(data, student, teacher=teacher, **options)


def untouched(ids):
    return [[i for i in row if i] for row in np.asarray(ids).tolist()]


@functools.cache
def ids_of_texts(function):
    """The ids of each text without padding: what a batch must hold of it."""
    return untouched(function(TEXTS))


def ids_of(function, labels):
    return [ids_of_texts(function)[i] for i in labels.numpy()]


def labels_of(batches):
    return [batch[-1].numpy().tolist() for batch in batches]


def ids_model(vocabulary, num_classes=3):
    """A bag of words without its padding."""
    ids = keras.Input((None,), dtype="int32")
    weights = keras.ops.cast(ids > 0, "float32")[:, None]
    pooled = keras.ops.matmul(weights, layers.Embedding(len(vocabulary), 4)(ids))[:, 0]
    return keras.Model(ids, layers.Dense(num_classes, name="logits")(pooled))


class TestExamples:
    def test_each_once_with_its_own_label(self):
        """What an epoch holds is what the data set holds, whatever the order."""
        expected = dict(zip(LABELS.tolist(), untouched(WORDS(TEXTS))))
        batches = batched(dataset(LABELS))
        for _ in range(2):
            seen = {}
            for ids, labels in batches:
                assert not set(labels.numpy()) & set(seen)
                seen.update(zip(labels.numpy().tolist(), untouched(ids)))
            assert seen == expected

    @pytest.mark.long
    def test_two_views_of_a_text(self):
        """Student and teacher read the same examples in the same order."""
        for inputs, labels in batched(dataset(LABELS), WORDS, PIECES):
            assert isinstance(inputs, DistillationInputs)
            assert inputs.teacher_outputs == ()
            assert untouched(inputs.student) == ids_of(WORDS, labels)
            assert untouched(inputs.teacher) == ids_of(PIECES, labels)
            assert inputs.student.dtype == inputs.teacher.dtype == tf.int32

    def test_examples_of_a_file(self):
        examples = from_lists(TEXTS, LABELS % 3)
        assert isinstance(examples, Examples)
        ids, labels = zip(*batched(examples, shuffle=False, batch_size=200))
        first = [i for i, text in enumerate(TEXTS) if len(text.split()) <= 4]
        assert labels[0].numpy().tolist() == [i % 3 for i in first]
        assert untouched(ids[0]) == untouched(WORDS([TEXTS[i] for i in first]))

    @pytest.mark.long
    def test_texts_alone(self):
        """Unlabelled: x is no tuple, which Keras would take for x and y."""
        batches = batched(dataset())
        assert isinstance(batches.element_spec, tf.TensorSpec)
        assert sum(len(ids) for ids in batches) == len(TEXTS)
        paired = batched(dataset(), WORDS, PIECES)
        assert isinstance(paired.element_spec, DistillationInputs)

    @pytest.mark.parametrize(
        "y",
        [
            LABELS / 7,
            np.eye(150, dtype="float32"),
            {"a": LABELS, "b": np.stack([LABELS, -LABELS], axis=1)},
        ],
        ids=["numbers", "soft_labels", "dict"],
    )
    def test_labels_of_a_fixed_shape(self, y):
        weights = LABELS.astype("float32") + 1
        for ids, labels, sample_weight in batched(dataset(y, weights)):
            rows = [text[0] - len(SPECIAL) for text in untouched(ids)]
            np.testing.assert_array_equal(sample_weight, weights[rows])
            expected = keras.tree.map_structure(lambda x, rows=rows: x[rows], y)
            keras.tree.map_structure(np.testing.assert_array_equal, labels, expected)

    @pytest.mark.long
    def test_texts_of_their_own_and_stored_outputs(self):
        """The teacher may read another text, and need not run."""
        reversed_texts = [text[::-1] for text in TEXTS]
        stored = RNG.normal(size=(150, 3)).astype("float32")
        x = DistillationInputs(TEXTS, reversed_texts, stored)
        data = tf.data.Dataset.from_tensor_slices((x, LABELS))
        expected = untouched(PIECES(reversed_texts))
        for inputs, labels in batched(data, WORDS, PIECES):
            assert untouched(inputs.teacher) == [expected[i] for i in labels.numpy()]
            np.testing.assert_array_equal(inputs.teacher_outputs, stored[labels.numpy()])
        x = DistillationInputs(TEXTS, teacher_outputs=stored)
        inputs, labels = next(iter(batched(tf.data.Dataset.from_tensor_slices((x, LABELS)))))
        assert inputs.teacher == ()
        np.testing.assert_array_equal(inputs.teacher_outputs, stored[labels.numpy()])

    @pytest.mark.long
    def test_what_else_a_batch_may_say(self):
        """The number of each example, and labels for the objectives alone."""
        x = DistillationInputs(TEXTS, example_index=LABELS, labels=-LABELS)
        batches = batched(tf.data.Dataset.from_tensor_slices((x, LABELS)), WORDS, PIECES)
        for inputs, labels in batches:
            np.testing.assert_array_equal(inputs.example_index, labels)
            np.testing.assert_array_equal(inputs.labels, -labels)

    def test_strings_for_a_teacher_that_reads_strings(self):
        for inputs, labels in batched(dataset(LABELS), WORDS, tf.identity):
            assert [text.decode() for text in inputs.teacher.numpy()] == [TEXTS[i] for i in labels]
        x = DistillationInputs(TEXTS, TEXTS)
        inputs, labels = next(iter(batched(tf.data.Dataset.from_tensor_slices((x, LABELS)))))
        assert [text.decode() for text in inputs.teacher.numpy()] == [TEXTS[i] for i in labels]

    @pytest.mark.long
    def test_strings_for_the_student(self):
        batches = batched(dataset(LABELS), None, PIECES)
        for inputs, labels in batches:
            assert [text.decode() for text in inputs.student.numpy()] == [TEXTS[i] for i in labels]

    def test_pairs(self):
        pairs = [[text, text[::-1]] for text in TEXTS]
        both = WORDS(pairs).numpy()
        for inputs, labels in batched(dataset(LABELS, texts=pairs), WORDS, tf.identity):
            assert inputs.student.shape[1] == 2
            assert inputs.student.shape[2] in BUCKETS
            common = min(inputs.student.shape[2], both.shape[2])
            expected = both[labels.numpy()]
            np.testing.assert_array_equal(inputs.student[:, :, :common], expected[:, :, :common])
            assert not np.any(inputs.student[:, :, common:])
            assert not np.any(expected[:, :, common:])
            assert inputs.teacher.shape == (len(labels), 2)

    @pytest.mark.long
    def test_tags(self):
        """Words, their places and their tags stay together, for both models."""
        for inputs, labels in batched(tagged(), WORDS.tokenize_words, PIECES.tokenize_words):
            words = first_pieces(inputs.student, WORDS)
            width = labels.shape[1]
            expected = [[int(w) % 5 for w in row] + [-1] * (width - len(row)) for row in words]
            assert labels.numpy().tolist() == expected
            pieces = first_pieces(inputs.teacher, PIECES)
            assert pieces == [[word[0] for word in row] for row in words]
            for view in inputs[:2]:
                assert view["word_starts"].shape == labels.shape

    def test_all_words_are_there(self):
        batches = batched(tagged(), WORDS.tokenize_words)
        words = [row for inputs, _ in batches for row in first_pieces(inputs, WORDS)]
        assert sorted(words) == sorted(text.split() for text in TEXTS)

    def test_preprocessors_with_a_mask(self):
        """What a view is made of is trimmed and padded together."""
        import keras_hub

        tokenizer = keras_hub.models.BertTokenizer(PIECES.tokens, lowercase=True)
        preprocessor = keras_hub.models.BertTextClassifierPreprocessor(tokenizer, 40)
        for inputs, labels in batched(dataset(LABELS), WORDS, preprocessor):
            teacher = inputs.teacher
            assert untouched(teacher["token_ids"]) == ids_of(PIECES, labels)
            np.testing.assert_array_equal(teacher["padding_mask"], teacher["token_ids"] != 0)
            assert teacher["padding_mask"].dtype == tf.bool
            assert teacher["segment_ids"].shape == teacher["token_ids"].shape
            assert not np.any(teacher["segment_ids"])
            assert teacher["token_ids"].shape[1] in BUCKETS

    @pytest.mark.long
    def test_tokenizers_of_ragged_ids(self):
        expected = PIECES.pieces(TEXTS).to_list()
        for inputs, labels in batched(dataset(LABELS), WORDS, PIECES.pieces):
            assert untouched(inputs.teacher) == [expected[i] for i in labels.numpy()]


def tagged():
    texts = [text.split() for text in TEXTS]
    tags = [[int(word) % 5 for word in text] for text in texts]
    slices = (tf.ragged.constant(texts), tf.ragged.constant(tags))
    # The elements are plain tensors, which the dataset says only after a map.
    return tf.data.Dataset.from_tensor_slices(slices).map(lambda words, tags: (words, tags))


def first_pieces(view, vocabulary):
    pieces = tf.gather(view["token_ids"], view["word_starts"], batch_dims=1).numpy()
    rows = [[vocabulary.tokens[i] for i in row] for row in pieces]
    return [[token for token in row if token != "[CLS]"] for row in rows]


class TestShapes:
    @pytest.mark.long
    def test_few_lengths_and_full_batches(self):
        """Lengths of the buckets alone; sizes from the budget, but for one rest a bucket."""
        sizes = collections.defaultdict(list)
        for inputs, labels in batched(dataset(LABELS), WORDS, PIECES):
            widths = inputs.student.shape[1], inputs.teacher.shape[1]
            for ids, width in zip(inputs[:2], widths):
                longest = max(map(len, untouched(ids)))
                assert width == next(n for n in BUCKETS if n >= longest)
            sizes[max(widths)].append(len(labels))
        assert set(sizes) == set(BUCKETS)
        for width, numbers in sizes.items():
            assert max(numbers) <= 64 // width
            assert sum(number < 64 // width for number in numbers) <= 1

    @pytest.mark.long_but_first
    @pytest.mark.parametrize("vocabulary", [WORDS, PIECES], ids=["words", "pieces"])
    def test_no_wider_than_the_vocabulary(self, vocabulary):
        """A model with so many positions refuses more, and says of the texts that they are long."""
        texts = [" ".join(["1"] * n) for n in range(1, 60)]
        with pytest.warns(UserWarning, match="Over-long texts were cut"):
            batches = batched(dataset(texts=texts), vocabulary, bucket_lengths=(4, 8, 12, 64))
        widths = {ids.shape[1] for ids in batches}
        assert max(widths) == vocabulary.sequence_length
        assert len(widths) <= 4

    @pytest.mark.long
    def test_teacher_and_student_of_unlike_length(self):
        teacher = WordPieceVocabulary(PIECES.tokens, sequence_length=10, add_special_tokens=True)
        student = WordVocabulary([str(i) for i in range(200)], sequence_length=9)
        with pytest.warns(UserWarning, match="Over-long texts were cut"):
            batches = batched(dataset(), student, teacher)
        assert max(x.student.shape[1] for x in batches) == 9
        assert max(x.teacher.shape[1] for x in batches) == 10

    def test_batches_of_one_size(self):
        sizes = [len(labels) for _, labels in batched(dataset(LABELS), batch_size=10)]
        assert max(sizes) == 10
        assert sum(size < 10 for size in sizes) <= len(BUCKETS)

    def test_budget_below_a_length(self):
        """A batch of nothing would be the end of it."""
        sizes = [len(labels) for _, labels in batched(dataset(LABELS), tokens_per_batch=3)]
        assert set(sizes) == {1}

    def test_dropped_remainders(self):
        batches = batched(dataset(LABELS), batch_size=10, drop_remainder=True)
        sizes = [len(labels) for _, labels in batches]
        assert set(sizes) == {10}
        assert len(sizes) == batches.cardinality()

    @pytest.mark.parametrize("options", [{}, {"batch_size": 7}, {"shuffle": False}])
    def test_number_of_batches(self, options):
        batches = batched(dataset(LABELS), **options)
        assert batches.cardinality() == sum(1 for _ in batches)
        assert batches.repeat(2).cardinality() == sum(1 for _ in batches.repeat(2))


class TestOrder:
    def test_an_order_for_every_epoch(self):
        batches = batched(dataset(LABELS))
        epochs = [labels_of(batches) for _ in range(3)]
        assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
        companies = [{frozenset(batch) for batch in epoch} for epoch in epochs]
        assert companies[0] != companies[1]
        lengths = [[len(batch) for batch in epoch] for epoch in epochs]
        assert lengths[0] != lengths[1]

    @pytest.mark.long
    def test_the_seed_gives_the_epochs(self):
        first, again = (batched(dataset(LABELS), seed=3) for _ in range(2))
        other = batched(dataset(LABELS), seed=4)
        assert [labels_of(first) for _ in range(2)] == [labels_of(again) for _ in range(2)]
        assert labels_of(batched(dataset(LABELS), seed=3)) != labels_of(other)

    def test_a_full_batch_first(self):
        """Under MirroredStrategy training fails to begin with a batch for one device."""
        batches = batched(dataset(LABELS), batch_size=14)
        assert {len(next(iter(batches))[1]) for _ in range(9)} == {14}

    def test_in_the_order_of_the_examples(self):
        batches = batched(dataset(LABELS), shuffle=False)
        by_bucket = [list(group) for _, group in itertools.groupby(labels_of(batches), key=width)]
        assert len(by_bucket) == len(set(map(width_of_example, LABELS)))
        for group in by_bucket:
            flat = list(itertools.chain(*group))
            assert flat == sorted(flat)
        assert labels_of(batches) == labels_of(batches)


def width_of_example(label):
    return next(n for n in BUCKETS if n >= len(TEXTS[label].split()))


def width(labels):
    return max(map(width_of_example, labels))


class TestOverLongTexts:
    def test_cut_by_the_vocabulary(self):
        """Texts that just fit are not among them."""
        texts = [" ".join(["7"] * n) for n in (3, 15, 16, 17, 18)]
        with pytest.warns(UserWarning, match="Over-long texts were cut: 2 of 5 of the student's"):
            batches = batched(dataset(texts=texts))
        assert sorted(len(row) for ids in batches for row in untouched(ids)) == [3, 15, 16, 16, 16]

    @pytest.mark.long
    def test_cut_by_the_last_bucket(self):
        texts = [" ".join(["7"] * n) for n in (3, 4, 5, 14)]
        message = "2 of 4 of the student's, 4 of 4 of the teacher's"
        with pytest.warns(UserWarning, match=message):
            batches = batched(dataset(texts=texts), WORDS, PIECES, bucket_lengths=(2, 4))
        inputs = next(iter(batches))
        assert inputs.student.shape[1] == inputs.teacher.shape[1] == 4

    def test_words_cut(self):
        words = tf.ragged.constant([["7"] * n for n in (3, 15, 16, 18)])
        data = tf.data.Dataset.from_tensor_slices((words, words)).map(
            lambda words, tags: (words, tf.strings.to_number(tags, tf.int32))
        )
        with pytest.warns(UserWarning, match="2 of 4 of the student's"):
            batches = batched(data, WORDS.tokenize_words)
        starts = np.concatenate([np.sum(x["word_starts"] > 0, axis=1) for x, _ in batches])
        assert sorted(starts) == [3, 15, 15, 15]

    @pytest.mark.long
    def test_nothing_to_report(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            batched(dataset(LABELS), WORDS, PIECES)

    def test_what_belongs_together_is_not_cut(self):
        def with_mask(texts):
            return {"ids": WORDS(texts), "mask": WORDS(texts) > 0}

        with pytest.raises(
            ValueError, match=r"student's inputs have up to 11 ids.*or add a bucket"
        ):
            batched(dataset(), with_mask, bucket_lengths=(4, 8))


class TestTraining:
    def student_and_teacher(self):
        return ids_model(WORDS), ids_model(PIECES)

    def fit(self, batches, student, teacher, epochs=2, **options):
        distiller = Distiller(student=student, teacher=teacher, alpha=0.5)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        distiller.compile(keras.optimizers.SGD(0.1), loss=loss, **options)
        history = distiller.fit(batches, epochs=epochs, shuffle=False, verbose=0).history
        assert np.all(np.isfinite(history["loss"]))
        return distiller, history

    @pytest.mark.long
    def test_nothing_is_traced_again(self):
        """Not for another length, nor for the rest of a bucket, nor in the next epoch."""
        passes = []

        class Counting(layers.Layer):
            def call(self, inputs):
                passes.append(inputs.shape)
                return inputs

        model, teacher = self.student_and_teacher()
        student = keras.Model(model.input, Counting()(model.output))
        batches = batched(dataset(LABELS % 3), WORDS, PIECES)
        distiller, _ = self.fit(batches, student, teacher, epochs=1)
        num_passes = len(passes)
        distiller.fit(batches, epochs=2, shuffle=False, verbose=0)
        assert len(passes) == num_passes
        assert passes[-1] == (None, 3)

    @pytest.mark.long
    def test_learns_and_evaluates_as_padded_in_one_batch(self):
        student, teacher = self.student_and_teacher()
        batches = batched(dataset(LABELS % 3), WORDS, PIECES)
        distiller, history = self.fit(batches, student, teacher)
        assert history["loss"][1] < history["loss"][0]
        loss = distiller.evaluate(batches, verbose=0, return_dict=True)["loss"]
        labels = LABELS % 3
        whole = distiller.evaluate(WORDS(TEXTS), labels, 150, verbose=0, return_dict=True)
        assert loss == pytest.approx(whole["loss"], rel=1e-5)

    @pytest.mark.long
    def test_compiled_by_xla(self):
        """The shapes are those of the buckets, and the same figures come out."""
        student, teacher = self.student_and_teacher()
        start, losses = student.get_weights(), []
        for jit_compile in (False, True):
            student.set_weights(start)
            batches = batched(
                dataset(LABELS % 3), WORDS, PIECES, bucket_lengths=(8, 40), batch_size=70
            )
            _, history = self.fit(batches, student, teacher, epochs=1, jit_compile=jit_compile)
            losses.append(history["loss"])
        np.testing.assert_allclose(*losses, rtol=1e-5)

    @pytest.mark.long
    def test_a_teacher_that_reads_strings(self):
        """The same training as with ids made beforehand."""
        student, ids_teacher = self.student_and_teacher()
        texts = keras.Input((), dtype="string")
        teacher = keras.Model(texts, ids_teacher(PIECES(texts)))
        start, losses = student.get_weights(), []
        for one, read in ((ids_teacher, PIECES), (teacher, tf.identity)):
            student.set_weights(start)
            batches = batched(dataset(LABELS % 3), WORDS, read, bucket_lengths=(40,))
            losses.append(self.fit(batches, student, one, epochs=1)[1]["loss"])
        np.testing.assert_allclose(*losses, rtol=1e-5)

    @pytest.mark.long
    def test_the_parts_of_a_text_classifier(self):
        """Its preprocessor once, here; its encoder in the step."""
        import keras_hub

        backbone = keras_hub.models.BertBackbone(len(PIECES), 1, 2, 8, 8, max_sequence_length=40)
        teacher = text_classifier(backbone, PIECES, num_classes=3, sequence_length=40)
        encoder = teacher.classifier
        batches = batched(dataset(LABELS % 3), WORDS, teacher.preprocessor)
        inputs, labels = next(iter(batched(dataset(LABELS), WORDS, teacher.preprocessor)))
        expected = teacher(tf.constant([TEXTS[i] for i in labels]))
        np.testing.assert_allclose(encoder(inputs.teacher), expected, atol=1e-5)
        self.fit(batches, ids_model(WORDS), encoder, epochs=1)

    @pytest.mark.long
    def test_on_two_devices(self, two_devices):
        """As on one, with even batches: Keras weighs those of an uneven one unequally."""
        data, results = dataset(LABELS % 3), []
        for strategy in (tf.distribute.get_strategy(), two_devices):
            keras.utils.set_random_seed(0)
            with strategy.scope():
                student, teacher = self.student_and_teacher()
                batches = batched(data, WORDS, PIECES, batch_size=10, drop_remainder=True)
                _, history = self.fit(batches, student, teacher)
            results.append((student.get_weights(), history["loss"]))
        (one, one_loss), (two, two_loss) = results
        for expected, actual in zip(one, two):
            np.testing.assert_allclose(actual, expected, atol=1e-5)
        np.testing.assert_allclose(two_loss, one_loss, rtol=1e-4)


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"bucket_lengths": ()}, r"rising integers.*bucket_lengths=\(\)"),
            ({"bucket_lengths": (8, 4)}, r"bucket_lengths=\(8, 4\)"),
            ({"bucket_lengths": (4, 4)}, r"bucket_lengths=\(4, 4\)"),
            ({"bucket_lengths": (0, 4)}, r"bucket_lengths=\(0, 4\)"),
            ({"bucket_lengths": (4.5,)}, r"bucket_lengths=\(4.5,\)"),
            ({"bucket_lengths": 8}, "bucket_lengths=8"),
            ({"tokens_per_batch": 0}, "tokens_per_batch=0"),
            ({"tokens_per_batch": None}, "tokens_per_batch=None"),
            ({"batch_size": 0}, "batch_size=0"),
            ({"batch_size": 2.0}, "batch_size=2.0"),
            ({"seed": -1}, "seed=-1"),
            ({"seed": None}, "seed=None"),
            ({"batch_size": 500, "drop_remainder": True}, "150 examples, batches of .500, 500"),
        ],
    )
    def test_arguments(self, options, message):
        with pytest.raises(ValueError, match=message):
            batched(dataset(LABELS), **options)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (TEXTS, "examples must be Examples or an unbatched.*Received: examples of type list"),
            (dataset(LABELS).repeat(), "must be finite"),
            (dataset(LABELS).take(0), "empty data set"),
            (tf.data.Dataset.from_tensor_slices(LABELS), "text must be a string.*int32"),
            (dataset(texts=[TEXTS] * 2).batch(2), "Unbatch a batched data set"),
            (dataset(LABELS).batch(4), r"texts must have the shape .*unbatch"),
        ],
        ids=["list", "endless", "empty", "ids", "batched_twice", "batched"],
    )
    def test_examples(self, data, message):
        with pytest.raises(ValueError, match=message):
            batched(data)

    def test_no_ids(self):
        with pytest.raises(ValueError, match="student or teacher must be a function from strings"):
            batched(dataset(LABELS), None, tf.identity)

    @pytest.mark.parametrize(
        "function",
        [
            lambda texts: tf.strings.length(texts),
            lambda texts: {"a": WORDS(texts), "b": WORDS(texts)[:, 1:]},
            lambda texts: WORDS(texts)[1:],
        ],
        ids=["one_number_a_text", "of_two_lengths", "fewer_than_texts"],
    )
    def test_what_is_no_ids(self, function):
        with pytest.raises(ValueError, match=r"teacher must turn strings into ids of one shape"):
            batched(dataset(LABELS), WORDS, function)
