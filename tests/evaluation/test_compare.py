import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.lite.tools import flatbuffer_utils

import keras_distill as kd
from keras_distill.evaluation.costs import count_flops

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 6)).astype("float32")
Y = rng.integers(0, 3, 60)
# Numbers of sounds and their lengths.
SOUNDS = [(2, 5), (3, 2), (1, 5), (2, 9)]


def make(units=3, activation=None, hidden=8):
    inputs = keras.Input((6,), name="x")
    hidden = layers.Dense(hidden, "relu")(inputs)
    return keras.Model(inputs, layers.Dense(units, activation)(hidden))


def compare(models, data=(X, Y), **settings):
    settings = {"num_threads": (), "num_resamples": 50, "verbose": 0, **settings}
    return kd.compare(models, data, **settings)


def figures(comparison, name):
    return {measure.name: f.value for measure, f in comparison[name].figures.items()}


class TestKindsOfModels:
    @pytest.mark.long
    def test_all_give_the_same_figures(self, tmp_path):
        keras.utils.set_random_seed(1)
        model = make()
        model.save(tmp_path / "model.keras")
        kd.export_tflite(model, tmp_path / "model.tflite")
        kd.export_saved_model(model, tmp_path / "served", class_names=["a", "b", "c"])
        examples = tf.data.Dataset.from_tensor_slices(X)
        store = kd.TeacherStore.build(
            examples, model, tmp_path / "store", dtype="float32", verbose=0
        )
        comparison = compare(
            {
                "keras": model,
                "path": tmp_path / "model.keras",
                "str": str(tmp_path / "model.tflite"),
                "versions": tmp_path / "served",
                "version": tmp_path / "served" / "1",
                "store": store,
                "store's path": tmp_path / "store",
                "function": lambda x: model(x)[:],
            }
        )
        expected = figures(comparison, "keras")
        for name in comparison.models:
            assert figures(comparison, name) == pytest.approx(expected, abs=1e-4), name
        kinds = [m.kind for m in comparison.models.values()]
        assert kinds == [
            *("Keras", "Keras", "TFLite", "SavedModel", "SavedModel", "store", "store", "function")
        ]
        cost = comparison["keras"].cost
        assert cost.num_parameters == 6 * 8 + 8 + 8 * 3 + 3
        assert cost.num_bytes == 4 * cost.num_parameters
        assert comparison["str"].cost.num_bytes == (tmp_path / "model.tflite").stat().st_size
        model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        accuracy = model.evaluate(X, Y, verbose=0, return_dict=True)["accuracy"]
        assert comparison["keras"]["accuracy"].value == pytest.approx(accuracy)

    def test_a_model_that_draws_random_numbers_is_told(self):
        def random(x):
            return x[:, :3] + keras.random.normal((len(x), 3))

        with pytest.warns(UserWarning, match="random draws random numbers: its outputs"):
            comparison = compare({"plain": make(), "random": random})
        (note,) = comparison.notes
        assert note.startswith("random draws random numbers")
        assert f"Note: {note}" in str(comparison)

    def test_an_int8_file_gets_floats(self, tmp_path):
        model = make()
        kd.export_tflite(model, tmp_path / "m.tflite", quantization="int8", representative_data=X)
        comparison = compare({"teacher": model, "int8": tmp_path / "m.tflite"})
        assert comparison["int8"]["agreement"].value > 0.9
        assert 0 < comparison["int8"]["fidelity"].value < 0.01

    def test_a_file_of_integers_gets_pixels(self, tmp_path):
        pixels = rng.integers(0, 256, (40, 4, 4, 1)).astype("uint8")
        images = keras.Input((4, 4, 1), name="image")
        model = keras.Model(images, layers.Dense(3)(layers.Flatten()(images)))
        floats = pixels.astype("float32")
        kd.export_tflite(
            model,
            tmp_path / "m.tflite",
            quantization="int8",
            representative_data=floats,
            integer_io=True,
        )
        models = {"teacher": model, "file": tmp_path / "m.tflite"}
        found = [figures(compare(models, (x, Y[:40])), "file") for x in (pixels, floats)]
        assert found[0] == found[1]
        assert found[0]["agreement"] > 0.8

    @pytest.mark.long
    def test_one_logit_from_0_to_1_is_no_probability(self, tmp_path):
        """By its values it would be one, with other answers than the same model in Keras."""
        x = np.linspace(0.05, 0.95, 40)[:, None].astype("float32")
        y = (np.arange(40) >= 8).astype(int)
        for activation in (None, "sigmoid"):
            model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation)])
            model.set_weights([np.ones((1, 1)), np.zeros(1)])
            files = {
                "file": tmp_path / f"{activation}.tflite",
                "folder": tmp_path / f"{activation}",
            }
            kd.export_tflite(model, files["file"])
            kd.export_saved_model(model, files["folder"])
            comparison = compare({"keras": model, **files}, (x, y))
            for name in files:
                expected = figures(comparison, "keras")
                assert figures(comparison, name) == pytest.approx(expected, abs=1e-4)

    @pytest.mark.long
    def test_a_file_without_signatures(self, tmp_path):
        """As older converters write them."""
        x = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        path = tmp_path / "old.tflite"
        kd.export_tflite(model, path)
        content = flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes()))
        content.signatureDefs = []
        path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(content))
        data = x, model(x).numpy().argmax(axis=1)
        comparison = compare({"old": path}, data, num_threads=(1,))
        assert figures(comparison, "old")["accuracy"] == 1
        assert comparison["old"].cost.median_ms[1] > 0

    def test_a_file_of_integers_that_would_cut_the_values_off(self, tmp_path):
        x = np.random.default_rng(0).uniform(0, 1, (60, 4)).astype("float32")
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        path = tmp_path / "s.tflite"
        kd.export_tflite(model, path, quantization="int8", representative_data=x, integer_io=True)
        data = (255 * x, np.zeros(60, int))
        with pytest.raises(ValueError, match=r"from .* to .*, as integers. Received: values from"):
            compare({"file": path}, data)

    def test_a_model_that_keeps_state_is_refused(self):
        """Its answers would depend on the order of the batches, which is by length."""
        x = keras.Input(batch_shape=(64, 5, 4))
        model = keras.Model(x, keras.layers.LSTM(3, stateful=True, name="memory")(x))
        data = np.zeros((64, 5, 4)), np.zeros(64, int)
        with pytest.raises(ValueError, match=r"keep no state.*\['memory'\]"):
            compare({"model": model}, data)

    @pytest.mark.long
    def test_files_of_batches_and_of_any_length(self, tmp_path):
        ids = rng.integers(1, 9, (10, 5)).astype("int32")
        model = kd.students.text_cnn(9, 3, embedding_dim=4, filters=4)
        batches, open_length = tmp_path / "b.tflite", tmp_path / "o.tflite"
        kd.export_tflite(model, batches, batch_size=4, sequence_length=5)
        kd.export_tflite(model, open_length, sequence_length="any")
        # As a function it is not timed.
        models = {"teacher": lambda ids: model(ids), "batches": batches, "open": open_length}
        comparison = compare(models, (ids, Y[:10]), num_threads=(1,))
        for name in ("batches", "open"):
            assert comparison[name]["fidelity"].value == pytest.approx(0, abs=1e-5)
            assert comparison[name].cost.median_ms[1] > 0

    @pytest.mark.long_but_first
    @pytest.mark.parametrize("size", [(4, 4, 1), (8, 8, 3)])
    def test_pictures_of_another_size_are_not_padded(self, tmp_path, size):
        """Zeros around a picture, or behind its one channel, gave a number of no meaning."""
        images = keras.Input((8, 8, 3))
        model = keras.Model(images, layers.Dense(3)(layers.Flatten()(images)))
        path = tmp_path / "m.tflite"
        kd.export_tflite(model, path, quantization="float16")
        pixels = rng.integers(0, 256, (9, *size)).astype("float32")
        if size == (8, 8, 3):
            assert compare({"file": path}, (pixels, Y[:9])).num_examples == 9
            return
        with pytest.raises(ValueError, match=r"of shape \(8, 8, 3\).*Only ids are padded"):
            compare({"file": path}, (pixels, Y[:9]))

    def test_several_inputs_by_name(self, tmp_path):
        """A signature was called as a function of one batch: TensorFlow's own error."""
        words, mask = keras.Input((6,), name="words"), keras.Input((6,), name="mask")
        hidden = layers.Dense(3)(layers.Multiply()([words, mask]))
        model = keras.Model({"words": words, "mask": mask}, hidden)
        x = {"mask": (X > 0).astype("float32"), "words": X}
        kd.export_saved_model(model, tmp_path / "served", class_names=["a", "b", "c"])
        kd.export_tflite(model, tmp_path / "model.tflite")
        module = tf.saved_model.load(str(tmp_path / "served" / "1"))
        signature = module.signatures["serving_default"]

        def function(x):
            return model({name: x[name] for name in ("words", "mask")})

        models = {
            "teacher": model,
            "function": function,
            "traced": tf.function(function),
            "signature": signature,
            "served": tmp_path / "served",
            "file": tmp_path / "model.tflite",
            "named": lambda x, training=False: model(x, training=training),
        }
        comparison = compare(models, (x, Y))
        expected = figures(comparison, "named")
        for name in set(models) - {"teacher"}:
            assert figures(comparison, name) == pytest.approx(expected, abs=1e-5), name
        assert comparison["signature"].kind == "signature"
        assert comparison.class_names == ("a", "b", "c")
        with pytest.raises(ValueError, match=r"models\['s'\] takes the inputs \['mask', 'words'\]"):
            compare({"s": signature}, (X, Y))
        for wrong in (lambda words, mask: X, lambda *, words, mask: X, lambda: X):
            with pytest.raises(
                ValueError, match=r"models\['f'\] must be a function of one arg.*x\)"
            ):
                compare({"f": wrong}, (x, Y))

    def test_softmax_and_logits_are_alike(self):
        model = make()
        softmax = keras.Model(model.input, layers.Softmax()(model.output))
        comparison = compare({"teacher": model, "student": softmax})
        assert comparison["student"]["fidelity"].value == pytest.approx(0, abs=1e-6)

    @pytest.mark.long
    def test_time_and_memory(self, tmp_path):
        model = make()
        kd.export_tflite(model, tmp_path / "m.tflite")
        comparison = compare({"keras": model, "file": tmp_path / "m.tflite"}, num_threads=(1,))
        for name in ("keras", "file"):
            cost = comparison[name].cost
            assert 0 < cost.median_ms[1] <= cost.p95_ms[1]
            assert cost.memory_bytes > 0

    def test_unknown(self, tmp_path):
        with pytest.raises(ValueError, match=r"models\['m'\] must be the path.*is not there"):
            compare({"m": tmp_path / "none.tflite"})
        with pytest.raises(ValueError, match=r"models\['m'\] must be the path.*is none of them"):
            compare({"m": tmp_path})
        with pytest.raises(ValueError, match=r"models\['m'\] must be a keras.Model"):
            compare({"m": 3})

    def test_an_unsafe_file_is_refused(self, tmp_path):
        """A Lambda is code: Keras's safe mode does not load it."""
        inputs = keras.Input((6,))
        model = keras.Model(inputs, layers.Lambda(lambda x: x[:, :3])(inputs))
        model.save(tmp_path / "m.keras")
        with pytest.raises(ValueError, match=r"(?i)unsafe|lambda"):
            compare({"m": tmp_path / "m.keras"})


class TestData:
    def test_ways_to_give_it(self):
        model = make()
        expected = figures(compare({"m": model}), "m")
        one_hot = keras.utils.to_categorical(Y, 3)
        for data in (
            (X, one_hot),
            (X, Y[:, None]),
            (X, Y.astype("float32")),
            (X, Y.astype(str)),
            (X, Y.astype(bytes)),
            (X, Y.tolist()),
            (X, [f"class {label}" for label in Y]),
            tf.data.Dataset.from_tensor_slices((X, Y)).batch(7),
            tf.data.Dataset.from_tensor_slices((X, Y.astype(str))).batch(7),
        ):
            assert figures(compare({"m": model}, data), "m") == pytest.approx(expected)

    def test_a_sequential_model_gets_its_own_shape(self):
        """It takes any of as many numbers: with the channels first, accuracies were noise."""
        inputs = keras.Input((4, 5, 3))
        model = keras.Sequential([inputs, keras.layers.Flatten(), keras.layers.Dense(3)])
        x = rng.normal(size=(60, 4, 5, 3)).astype("float32")
        assert compare({"m": model}, (x, Y)).num_examples == 60
        for other in (x.transpose(0, 3, 1, 2), x[..., :1], x[..., 0], x[:, :3]):
            with pytest.raises(
                ValueError, match=r"reads inputs of shape \(4, 5, 3\).*Received: \("
            ):
                compare({"m": model}, (other, Y))

    def test_numbers_in_objects_and_names_in_other_encodings(self):
        """Foreign errors, which did not say where."""
        with pytest.raises(ValueError, match="Received: Python objects in x, such as "):
            compare({"m": make()}, (X.astype(object), Y))
        names = np.array([b"caf\xe9", b"b", b"c"])[Y]
        with pytest.raises(ValueError, match=r"names of classes in UTF-8.*the label .*caf"):
            compare({"m": make()}, (X, names))

    def test_without_labels_the_teacher_is_the_measure(self):
        models = {"teacher": make(), "student": make()}
        comparison = compare(models, (X,), task="classification")
        assert set(figures(comparison, "student")) == {"agreement", "fidelity"}
        assert figures(comparison, "teacher") == {}

    def test_several_outputs_without_labels_may_be_numbers(self):
        """They were taken for the logits of classes; probabilities and names tell that they are."""
        numbers = {"teacher": make(), "student": make()}
        with pytest.raises(ValueError, match=r"task must be given, .*outputs of shape \(60, 3\)"):
            compare(numbers, (X,))
        with pytest.raises(ValueError, match="must give one number"):
            compare(numbers, (X,), task="regression")
        told = compare(numbers, (X,), class_names=["a", "b", "c"])
        softmax = {n: lambda x, m=m: keras.ops.softmax(m(x)) for n, m in numbers.items()}
        for found in (told, compare(softmax, (X,))):
            assert set(figures(found, "student")) == {"agreement", "fidelity"}

    def test_examples_without_a_label_are_left_out(self):
        model, labels = make(), np.where(np.arange(60) % 2, -1, Y)
        comparison = compare({"m": model}, (X, labels))
        assert comparison.num_examples == 30
        expected = figures(compare({"m": model}, (X[::2], Y[::2])), "m")
        assert figures(comparison, "m") == pytest.approx(expected)

    def test_sounds_of_all_lengths_are_not_padded(self):
        """Batches of a data set had no padding: put together by size they must not get any."""
        parts = [rng.normal(size=(count, length, 2)).astype("float32") for count, length in SOUNDS]
        batches = [(part, np.zeros(len(part), "int32")) for part in parts]
        shapes = tf.TensorSpec((None, None, 2)), tf.TensorSpec((None,), tf.int32)
        data = tf.data.Dataset.from_generator(lambda: batches, output_signature=shapes)

        def length(x):
            return np.array([[len(row), 0] for row in np.asarray(x)], "float32")

        comparison = compare({"length": length}, data)
        expected = sorted(length for count, length in SOUNDS for _ in range(count))
        # Of the logits (length, 0) the log probability of class 0.
        found = np.sort(-np.log(np.expm1(-comparison.answers["length"][:, 0])))
        np.testing.assert_allclose(found, expected, rtol=1e-3)

    def test_teacher_and_student_read_their_parts(self):
        model, other = make(), rng.normal(size=X.shape).astype("float32")
        inputs = kd.DistillationInputs(student=X, teacher=other)
        comparison = compare({"teacher": model, "student": model}, (inputs, Y))
        assert comparison["teacher"]["accuracy"].value == np.mean(
            model.predict(other, verbose=0).argmax(1) == Y
        )
        assert comparison["student"]["accuracy"].value == np.mean(
            model.predict(X, verbose=0).argmax(1) == Y
        )

    @pytest.mark.long
    def test_texts_of_all_lengths(self, tmp_path):
        texts = [" ".join(rng.choice(["a", "b", "c"], rng.integers(1, 9))) for _ in range(80)]
        train = kd.text.from_lists(texts, rng.choice(["x", "y", "z"], 80).tolist())
        words = kd.text.WordVocabulary.learn(texts, vocabulary_size=10, sequence_length=8)
        model = kd.students.text_cnn(words, 3, embedding_dim=4, filters=4)
        kd.export_tflite(
            model, tmp_path / "m.tflite", sequence_length=8, representative_data=words(texts[:9])
        )
        strings = keras.Input((), dtype="string")
        on_texts = keras.Model(strings, model(words(strings)))
        models = {"teacher": on_texts, "ids": model, "file": tmp_path / "m.tflite"}
        comparison = compare(models, train, preprocessors={"ids": words, "file": words})
        assert comparison["ids"]["agreement"].value == 1
        assert comparison["file"]["fidelity"].value == pytest.approx(0, abs=1e-6)
        assert comparison.class_names == ("x", "y", "z")
        expected = on_texts.predict(tf.constant(texts), verbose=0).argmax(1) == train.labels
        assert comparison["teacher"]["accuracy"].value == expected.mean()
        with pytest.raises(
            ValueError, match=r"models\['ids'\] reads numbers.*preprocessors=\{'ids'"
        ):
            compare(models, train)

    def test_tags(self):
        sentences = [["in", "Paris"], ["Ann", "is", "in", "New", "York"], ["no"]]
        tags = [["O", "B-place"], ["B-person", "O", "O", "B-place", "I-place"], ["O"]]
        data = kd.text.from_lists(sentences, tags, tags=True)
        by_word = {
            w: data.class_names.index(t) for s, r in zip(sentences, tags) for w, t in zip(s, r)
        }

        def oracle(words):
            names = np.array(keras.ops.convert_to_numpy(words)).astype(str)
            ids = np.vectorize(lambda word: by_word.get(word, 0))(names)
            return keras.utils.to_categorical(ids, len(data.class_names))

        comparison = compare({"teacher": oracle, "student": oracle}, data)
        found = figures(comparison, "student")
        assert found["span_f1"] == found["accuracy"] == found["agreement"] == 1

    def test_classes_on_the_axis_behind_the_batch(self):
        """Channels first: the classes were taken for words, and the words for classes."""
        inputs = keras.Input((4, 3))
        last = layers.Conv1D(5, 1)(inputs)
        first = keras.Model(inputs, layers.Permute((2, 1))(last))
        last = keras.Model(inputs, last)
        x, y = rng.normal(size=(9, 4, 3)).astype("float32"), rng.integers(0, 3, (9, 4))
        with pytest.raises(
            ValueError, match=r"on the last axis.*\(9, 5, 4\) for inputs of 4 words"
        ):
            compare({"first": lambda x: first(x)}, (x, y))
        # A model of layers says it itself.
        found = compare({"last": last, "first": first}, (x, y))
        assert figures(found, "first") == pytest.approx(figures(found, "last"))

    def test_as_many_words_as_classes(self, tmp_path):
        """Nothing told a function with its classes first, whose accuracy was a wrong number."""
        inputs = keras.Input((5, 3))
        logits = keras.Model(inputs, layers.Conv1D(5, 1)(inputs))
        x, y = rng.normal(size=(9, 5, 3)).astype("float32"), rng.integers(0, 5, (9, 5))
        kd.export_tflite(logits, tmp_path / "m.tflite")
        for model in (
            lambda x: keras.ops.moveaxis(logits(x), 1, -1),
            lambda x: logits(x),
            tmp_path / "m.tflite",
        ):
            with pytest.raises(ValueError, match=r"models\['m'\] must show .* \(.*, 5, 5\)"):
                compare({"m": model}, (x, y))
        # A model of layers, probabilities, and a batch of another length tell.
        softmax = {
            "layers": logits,
            "last": lambda x: keras.ops.softmax(logits(x)),
        }
        found = compare(softmax, (x, y))
        assert figures(found, "last") == pytest.approx(figures(found, "layers"), abs=1e-5)
        with pytest.raises(ValueError, match="must have its classes on the last axis"):
            compare({"m": lambda x: keras.ops.moveaxis(softmax["last"](x), 1, -1)}, (x, y))
        inputs = keras.Input((None, 3))
        of_any = keras.Model(inputs, layers.Conv1D(5, 1)(inputs))
        of_any.set_weights(logits.get_weights())
        x = np.concatenate([x, np.zeros((9, 1, 3), "float32")], axis=1)
        y = np.concatenate([y, np.full((9, 1), -1)], axis=1)
        padded = compare({"m": lambda x: of_any(x)}, (x, y))
        assert figures(padded, "m") == pytest.approx(figures(found, "layers"), abs=1e-5)

    @pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
    def test_maps_of_classes_are_refused(self, order):
        inputs = keras.Input((4, 4, 3))
        maps = layers.Permute(order)(layers.Conv2D(2, 1)(inputs))
        model = keras.Model(inputs, maps)
        x = rng.normal(size=(9, 4, 4, 3)).astype("float32")
        for y, message in (
            (rng.integers(0, 2, (9, 4, 4)), "data must have labels .examples,."),
            (np.eye(2)[rng.integers(0, 2, (9, 4, 4))], "data must have labels .examples,."),
            (rng.integers(0, 2, (9, 16)), "positions as one axis"),
            (np.ones((9, 2), int), "positions as one axis"),
            (rng.integers(0, 2, 9), "must give one row"),
        ):
            with pytest.raises(ValueError, match=message):
                compare({"m": model}, (x, y))
        with pytest.raises(ValueError, match="must give one row"):
            compare({"m": lambda x: model(x)}, (x,))

    def test_numbers(self):
        labels = rng.normal(size=60).astype("float32")
        comparison = compare({"teacher": make(1), "alone": make(1)}, (X, labels))
        assert set(figures(comparison, "alone")) == {"mae", "spearman", "teacher_mae"}
        assert "accuracy" not in str(comparison)

    def test_a_sigmoid_and_labels_0_and_1_of_a_float_dtype_are_classes(self):
        """Keras's binary losses take them; they made a regression of a classifier."""
        labels = (Y == 1).astype("float32")
        model = make(1, "sigmoid")
        expected = figures(compare({"m": model}, (X, labels.astype(int))), "m")
        assert figures(compare({"m": model}, (X, labels)), "m") == expected
        assert set(expected) > {"accuracy", "auc"}
        # Without a label for some of them.
        labels[:9], ints = -1, labels.astype(int)
        ints[:9] = -1
        expected = figures(compare({"m": model}, (X, ints)), "m")
        assert figures(compare({"m": model}, (X, labels)), "m") == expected

    def test_one_number_and_labels_0_and_1_of_a_float_dtype_need_the_task(self):
        """A regression on numbers that are all 0 or 1 got an accuracy; a logit would, too."""
        labels, model = (Y == 1).astype("float32"), make(1)
        for found in (labels, np.where(Y == 2, -1.0, labels)):
            with pytest.raises(ValueError, match=r"task must be given.*0, 1 alone can be classes"):
                compare({"m": model}, (X, found))
        numbers = figures(compare({"m": model}, (X, labels), task="regression"), "m")
        predicted = model.predict(X, verbose=0)[:, 0]
        assert numbers["mae"] == pytest.approx(np.abs(predicted - labels).mean())
        classes = figures(compare({"m": model}, (X, labels), task="classification"), "m")
        assert classes["accuracy"] == np.mean((predicted > 0) == labels)
        # What has names has classes, and so has what a model beside it has.
        assert figures(compare({"m": model}, (X, labels), class_names=["n", "y"]), "m") == classes
        both = compare({"m": model, "s": make(1, "sigmoid")}, (X, labels))
        assert figures(both, "m") == classes

    def test_the_task_is_that_of_labels_and_models(self):
        model, numbers = make(), rng.normal(size=60)
        stars = figures(compare({"m": make(1)}, (X, Y + 1), task="regression"), "m")
        assert set(stars) == {"mae", "spearman"}
        for models, y, settings, message in (
            ({"m": model}, Y, {"task": "other"}, "task must be None, "),
            ({"m": model}, Y, {"task": "regression"}, "must give one number.*3"),
            ({"m": model}, numbers, {"task": "classification"}, "indices of classes.*such as"),
            ({"m": make(1)}, Y.astype(str), {"task": "regression"}, "no classes.*'0', '1', '2'"),
            (
                {"m": make(1)},
                numbers,
                {"task": "regression", "class_names": ["a", "b"]},
                "no classes. Received: names of classes, 'a', 'b'",
            ),
            ({"m": model}, np.full(60, -1), {"task": "classification"}, "all negative"),
            ({"m": model}, np.c_[Y, Y], {"task": "regression"}, "task must be None where"),
        ):
            with pytest.raises(ValueError, match=message):
                compare(models, (X, y), **settings)

    def test_one_class_alone_is_no_reason_for_a_warning(self):
        """There is no area under the curve, and so no interval of it."""
        comparison = compare({"m": make(2)}, (X, np.ones(60, int)))
        assert np.isnan(comparison["m"]["auc"].value)
        assert "nan" not in str(comparison)

    def test_bad(self):
        model = make()
        for data, message in (
            ([1], "data must be text.Examples, a tuple"),
            ((X[:0], Y[:0]), "empty data set"),
            ((X.tolist(), Y), r"data must hold arrays.*np\.array"),
            ((X, {"a": Y}), "one label for each example"),
            ((X, np.full(60, -1)), "all negative"),
            ((X, Y + 1), "labels below 3.*label of 3"),
            (tf.data.Dataset.from_tensors((X, Y)).repeat(), "endless"),
            ((X, Y[:9]), "as many labels as inputs"),
            ((X, Y.astype(complex)), "labels that are numbers or names"),
            ((X, Y, np.ones(60)), "no sample weights"),
            ((X, Y + 0.5), r"must give one number.*3.*such as \d\.5"),
            ((X, np.where(Y, np.nan, 0.0)), "finite labels. Received: NaN or infinity for"),
            ((X, np.eye(4)[Y] + np.eye(4)[3]), r"one class for each.*\(examples, 4\)"),
            ((X, (np.eye(4)[Y] + np.eye(4)[3]) > 0), "one class for each example"),
            ((X, (np.eye(4)[Y] + np.eye(4)[3]).astype(int)), "one class for each example"),
        ):
            with pytest.raises(ValueError, match=message):
                compare({"m": model}, data)

    def test_bad_arguments(self):
        model = make()
        for settings, message in (
            ({"teacher": "x"}, "teacher must be the name of one of the models.*'x'"),
            ({"baseline": "x"}, "baseline must be the name"),
            ({"preprocessors": {"x": len}}, "preprocessors must be a dict"),
            ({"class_names": ["a", "b"]}, "models have 3 classes.*Received: 2 names, 'a', 'b'"),
            ({"class_names": ["a", "b", "a"]}, "class_names must be a list of at least two dif"),
            ({"class_names": "abc"}, "class_names must be a list"),
            ({"num_resamples": 0}, "num_resamples"),
            ({"num_threads": 2}, "num_threads must be a tuple"),
            ({"num_threads": (0,)}, "num_threads"),
        ):
            with pytest.raises(ValueError, match=message):
                compare({"m": model}, **settings)
        with pytest.raises(ValueError, match="models must be a dict"):
            compare([model])
        with pytest.raises(ValueError, match="the same classes"):
            compare({"m": model, "n": make(4)})

    def test_bad_outputs(self):
        with pytest.raises(ValueError, match="must give finite outputs"):
            compare({"m": lambda x: np.full((len(x), 3), np.nan, "float32")})
        with pytest.raises(ValueError, match="one row for each example"):
            compare({"m": lambda x: np.zeros((1, 3), "float32")})
        with pytest.raises(ValueError, match="must have one output"):
            compare({"m": lambda x: [np.zeros((len(x), 3), "float32")] * 2})


class TestAgainstTheBaseline:
    def test_differences_are_paired(self):
        """Two models that are equally good on all examples do not differ on any draw."""
        model = make()
        softer = keras.Model(model.input, layers.Rescaling(0.5)(model.output))
        comparison = compare({"alone": model, "distilled": softer})
        difference = comparison["distilled"].differences["accuracy"]
        assert difference.value == 0
        # Equal answers on these examples do not prove that they are equal on others.
        assert difference.low == pytest.approx(-difference.high)
        assert 0 < difference.high < 0.1
        assert difference.p_value == comparison["distilled"].mcnemar == 1
        nll = comparison["distilled"].differences["nll"]
        expected = comparison["distilled"]["nll"].value - comparison["alone"]["nll"].value
        assert nll.value == pytest.approx(expected)
        assert comparison["alone"].differences == {}

    def test_a_better_model_is_found(self):
        def oracle(x):
            places = [np.flatnonzero((row == X).all(1))[0] for row in np.asarray(x)]
            return 5 * keras.utils.to_categorical(Y[places], 3)

        comparison = compare({"alone": make(), "oracle": oracle}, num_resamples=500)
        difference = comparison["oracle"].differences["accuracy"]
        assert 0 < difference.low < difference.value < difference.high
        assert difference.p_value < 0.01
        assert comparison["oracle"].mcnemar < 0.001


@pytest.fixture(scope="module")
def comparison():
    models = {"teacher": make(hidden=16), "alone": make(), "a|b": make()}
    return compare(models, class_names=["x", "y", "z"])


class TestWriting:
    def test_text(self, comparison):
        lines = str(comparison).splitlines()
        assert lines[0].startswith("60 examples, classification")
        assert re.search(r"^accuracy +\d+\.\d\d \(", str(comparison), re.MULTILINE)
        assert max(map(len, lines)) < 120

    def test_json(self, comparison, tmp_path):
        comparison.write_json(tmp_path / "c.json")
        read = json.loads((tmp_path / "c.json").read_text())
        alone = read["models"]["alone"]
        assert alone["figures"]["accuracy"]["value"] == comparison["alone"]["accuracy"].value
        assert set(alone["class_f1"]) == {"x", "y", "z"}
        assert read["models"]["a|b"]["differences"]["nll"]["p_value"] > 0

    def test_markdown(self, comparison, tmp_path):
        comparison.write_markdown(tmp_path / "c.md")
        tables = [line for line in (tmp_path / "c.md").read_text().splitlines() if "|" in line]
        assert tables[0] == "|  | teacher | alone | a\\|b |"

    def test_nothing_is_half_written(self, comparison, tmp_path):
        (tmp_path / "c.json").write_text("before")
        with pytest.raises(ValueError, match="path must be a file"):
            comparison.write_json(tmp_path)
        assert (tmp_path / "c.json").read_text() == "before"
        assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


class TestFlops:
    @pytest.mark.parametrize(
        ("shape", "layer", "expected"),
        [
            ((10,), lambda: layers.Dense(5), 2 * 10 * 5 + 5),
            ((8, 8, 3), lambda: layers.Conv2D(4, 3), 36 * 4 * (2 * 27 + 1)),
        ],
    )
    def test_by_hand(self, shape, layer, expected):
        model = keras.Sequential([keras.Input(shape), layer()])
        assert count_flops(model, np.zeros((1, *shape), "float32")) == expected

    def test_attention(self):
        """Its products of queries and keys, and of scores and values, count too."""
        inputs = keras.Input((20, 8))
        attention = layers.MultiHeadAttention(2, 4, dropout=0.1)
        model = keras.Model(inputs, attention(inputs, inputs))
        counted = count_flops(model, np.zeros((1, 20, 8), "float32"))
        projections, products = 4 * 2 * 20 * 8 * 8, 2 * 2 * 2 * 20 * 20 * 4
        assert projections + products < counted < 1.3 * (projections + products)

    def test_a_loop_counts_as_often_as_it_runs(self):
        model = keras.Sequential([keras.Input((None, 10)), layers.LSTM(4)])
        products = 2 * 10 * 16 + 2 * 4 * 16
        counts = [count_flops(model, np.zeros((1, n, 10), "float32")) for n in (5, 10)]
        assert 5 * products < counts[0] < 1.5 * 5 * products
        assert counts[1] - counts[0] == pytest.approx(counts[0], rel=0.1)
        assert not model.layers[0].unroll

    def test_products_of_unknown_size_are_no_figure(self):
        """Texts that a model splits itself have a length that the graph does not know."""
        texts = keras.Input((), dtype="string")
        words = kd.text.WordVocabulary.learn(
            ["good film", "bad film"], vocabulary_size=10, sequence_length=4
        )
        cnns = [kd.students.text_cnn(words, 2, embedding_dim=4, name=name) for name in "ab"]
        model = keras.Model(texts, layers.Average()([cnn(words(texts)) for cnn in cnns]))
        assert count_flops(model, tf.constant(["good film"])) is None


@pytest.mark.parametrize(("shape", "shown"), [((), r"\[\(\)\]"), (None, r"\[\]")])
def test_a_file_without_an_axis_for_the_examples(shape, shown, tmp_path):
    """It was "list index out of range", or nothing at all, without the name of the file."""
    signature = [] if shape is None else [tf.TensorSpec(shape, "float32", name="x")]
    function = tf.function(lambda *x: {"y": sum(x, tf.ones((2, 3)))}, input_signature=signature)
    # Without a function, an object to keep, the converter warns.
    module = tf.Module()
    module.function = function
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], module
    )
    (tmp_path / "odd.tflite").write_bytes(converter.convert())
    message = f"odd.tflite with inputs of the shapes {shown}"
    with pytest.raises(ValueError, match=message):
        compare({"odd": tmp_path / "odd.tflite"}, (np.zeros((4, 3), "float32"), np.arange(4) % 3))
