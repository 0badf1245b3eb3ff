"""Classes are matched by their names: the order of a table is not that of a model."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd
from keras_distill._keras.output_domain import output_domains
from keras_distill.evaluation.class_order import match_classes
from keras_distill.evaluation.sources import open_source
from keras_distill.layers.class_names import class_names_of
from keras_distill.layers.class_names import with_class_names

NAMES = ("neutral", "negative", "positive")
rng = np.random.default_rng(0)
X = rng.normal(size=(90, 3)).astype("float32")
# The class of the largest number, as the model says it.
Y = np.array(NAMES)[X.argmax(axis=1)]


def classifier(names=None, activation=None):
    """Right on all of X."""
    inputs = keras.Input((3,), name="x")
    outputs = layers.Dense(3, activation, kernel_initializer="identity")(inputs)
    model = keras.Model(inputs, outputs)
    return model if names is None else with_class_names(model, names)


def compare(models, data=(X, Y), **settings):
    settings = {"num_threads": (), "num_resamples": 20, "verbose": 0, **settings}
    return kd.compare(models, data, **settings)


def accuracies(comparison):
    return [model["accuracy"].value for model in comparison.models.values()]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same classifier of images as a .keras file, a SavedModel and a .tflite file."""
    folder = tmp_path_factory.mktemp("files")
    # No two pixels are equal.
    pixels = (rng.permutation(720) * 0.35).reshape(60, 2, 2, 3).astype("float32")
    images = keras.Input((2, 2, 3), name="image")
    logits = layers.Dense(3, kernel_initializer="identity")(layers.GlobalMaxPooling2D()(images))
    model = keras.Model(images, logits)
    with_class_names(model, NAMES).save(folder / "model.keras")
    kd.export_saved_model(model, folder / "served", class_names=NAMES, version=1)
    kd.export_tflite(model, folder / "model.tflite", metadata=kd.export.ImageMetadata(NAMES))
    labels = np.array(NAMES)[pixels.max(axis=(1, 2)).argmax(axis=1)]
    return [folder / name for name in ("model.keras", "served", "model.tflite")], (pixels, labels)


class TestNamesInModels:
    def test_files_carry_them(self, files):
        assert [open_source("m", path).class_names for path in files[0]] == [NAMES] * 3

    def test_every_kind_is_matched(self, files):
        """The table sorts its classes; the models have them in another order."""
        models = {path.name: path for path in files[0]}
        comparison = compare(models, files[1], class_names=None)
        assert comparison.class_names == ("negative", "neutral", "positive")
        assert accuracies(comparison) == [1, 1, 1]

    def test_the_data_may_lack_classes(self, files):
        """Their names come from the models."""
        pixels, labels = files[1]
        kept = labels != "neutral"
        comparison = compare({"m": files[0][1]}, (pixels[kept], labels[kept]))
        assert comparison.class_names == NAMES
        assert accuracies(comparison) == [1]
        assert set(comparison["m"].class_f1[1:]) == {1}

    def test_a_file_without_labels_has_no_names(self, tmp_path):
        model = classifier()
        kd.export_tflite(model, tmp_path / "m.tflite")
        kd.export_saved_model(model, tmp_path / "served")
        for path in (tmp_path / "m.tflite", tmp_path / "served"):
            assert open_source("m", path).class_names is None

    def test_damaged_metadata(self, files, tmp_path):
        content = files[0][2].read_bytes()
        start = content.rindex(b"M001")
        (tmp_path / "m.tflite").write_bytes(
            content[: start - 4] + b"\xff" * 90 + content[start + 86 :]
        )
        with pytest.raises(ValueError, match=r"m.tflite must have metadata that can be read"):
            compare({"m": tmp_path / "m.tflite"}, files[1])

    def test_tags(self):
        """Named tags of words are matched as classes are."""
        words = keras.Input((None, 3))
        logits = layers.Dense(3, kernel_initializer="identity")(words)
        model = with_class_names(keras.Model(words, logits), NAMES)
        x = X.reshape(30, 3, 3)
        tags = x.argmax(axis=2)
        swapped = np.array([1, 2, 0])[tags]
        names = ("positive", "neutral", "negative")
        comparison = compare({"m": model}, (x, swapped), class_names=names)
        assert accuracies(comparison) == [1]


class TestNamesInALayer:
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda model: model,
            lambda model: keras.Model(model.input, layers.Softmax()(model.output)),
            lambda model: keras.Model(model.input, keras.ops.softmax(model.output)),
            lambda model: keras.Sequential([keras.Input((3,)), model]),
        ],
    )
    def test_they_are_found(self, wrap):
        assert class_names_of(wrap(classifier(NAMES))) == NAMES

    def test_safe_mode_keeps_them(self, tmp_path):
        with keras.device("CPU:0"):
            model = classifier(NAMES, "softmax")
        model.save(tmp_path / "m.keras")
        again = keras.models.load_model(tmp_path / "m.keras", safe_mode=True)
        assert class_names_of(again) == NAMES
        assert output_domains(again) == ["softmax"]
        np.testing.assert_array_equal(again(X), model(X))

    def test_another_order(self, tmp_path):
        model = classifier()
        turned = with_class_names(model, ("positive", "neutral", "negative"), order=[2, 0, 1])
        turned.save(tmp_path / "m.keras")
        again = keras.models.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(again(X), np.asarray(model(X))[:, [2, 0, 1]])

    def test_names_again_take_the_place_of_the_first(self):
        model = with_class_names(classifier(NAMES), NAMES[::-1], order=[2, 1, 0])
        assert class_names_of(model) == NAMES[::-1]
        assert len(model.layers) == 3
        back = with_class_names(model, NAMES, order=[2, 1, 0])
        np.testing.assert_array_equal(back(X), classifier()(X))
        assert back.layers[-1].order is None

    def test_logits_stay_in_float32(self):
        inputs = keras.Input((3,))
        logits = layers.Dense(3, dtype="float32")(inputs)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_float16")
        try:
            named = with_class_names(keras.Model(inputs, logits), NAMES)
        finally:
            keras.config.set_dtype_policy(before)
        assert named.output.dtype == "float32"

    def test_bad(self):
        with pytest.raises(ValueError, match=r"a name for each of 3 classes. Received: 2"):
            classifier(NAMES[:2])
        with pytest.raises(ValueError, match="class_names must be a list of at least two"):
            classifier(["a", "a", "b"])


class TestModelsWithoutNames:
    def test_class_names_are_the_order_of_their_outputs(self):
        assert accuracies(compare({"m": classifier()}, class_names=NAMES)) == [1]

    def test_class_names_are_those_of_numbers(self):
        models = {"m": classifier(), "named": classifier(NAMES)}
        comparison = compare(models, (X, X.argmax(axis=1)), class_names=NAMES)
        assert accuracies(comparison) == [1, 1]

    def test_texts_with_other_names_are_matched(self):
        """Before, class_names took the place of the data's names, whatever their order was."""
        data = kd.text.from_lists([" ".join(map(str, row)) for row in X], Y.tolist())

        def read(texts):
            return np.array([text.split() for text in texts.numpy()], "float32")

        found = compare({"m": classifier()}, data, class_names=NAMES, preprocessors={"m": read})
        assert accuracies(found) == [1]

    def test_a_wrong_order_is_said(self):
        with pytest.warns(UserWarning, match="m is right on .* 100.0% with its classes in another"):
            comparison = compare({"m": classifier()})
        assert "Note: m is right on" in str(comparison)
        assert "Note: m is right on" in comparison.to_markdown()

    def test_a_wrong_order_of_numbers_is_said(self):
        turned = np.array([1, 2, 0])[X.argmax(axis=1)]
        with pytest.warns(UserWarning, match="in another order"):
            compare({"m": classifier(NAMES)}, (X, turned))


class TestWhatDoesNotFit:
    def match(self, models, data_names=None, class_names=None, has_labels=True):
        return match_classes(models, data_names, class_names, has_labels)

    def test_a_class_that_no_model_knows(self):
        with pytest.raises(ValueError, match=r"Received: 'z'; models\['m'\] has 'a', 'b', 'c'"):
            self.match({"m": ("a", "b", "c")}, ("a", "z"))
        with pytest.raises(ValueError, match=r"Received: 'z'; class_names has 'a', 'b'"):
            self.match({"m": None}, ("a", "z"), ("a", "b"))

    def test_models_of_other_classes(self):
        with pytest.raises(
            ValueError, match=r"models\['n'\].*to the others: 'c'; unknown to it: 'b'"
        ):
            self.match({"m": ("a", "b"), "n": ("a", "c")}, ("a",))
        with pytest.raises(ValueError, match=r"models\['m'\] must name the classes of the others"):
            self.match({"m": ("a", "b")}, ("a",), ("a", "c"))

    def test_data_that_lacks_classes_says_nothing_of_the_order(self):
        with pytest.raises(ValueError, match=r"models\['n'\] does not name.*2 of 3 classes"):
            self.match({"m": ("a", "b", "c"), "n": None}, ("a", "b"))

    def test_numbers_for_labels_and_two_orders(self):
        models = {"m": ("a", "b"), "n": ("b", "a")}
        with pytest.raises(ValueError, match="in different orders"):
            self.match(models)
        assert self.match(models, has_labels=False).places["n"].tolist() == [1, 0]

    def test_names_that_two_classes_share_are_none(self):
        """ImageNet's lists have two cranes."""
        assert self.match({"m": ("crane", "crane")}, ("a", "b")).presumed == ("m",)
