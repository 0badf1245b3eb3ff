"""`predict` gives what Keras gives, for every file that a job writes."""

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import keras_distill as kd
from keras_distill.export import ImageMetadata
from keras_distill.export import TextMetadata
from keras_distill.jobs.prediction import predict
from keras_distill.layers.class_names import ClassNames

NAMES = ("bad", "good", "fair")
TEXTS = ["a good film", "Bad film", "", "an unknown iPhone\n", "good " * 20]


def by_name(answers):
    """Probabilities in the order of NAMES."""
    return np.array([[dict(row)[name] for name in NAMES] for row in answers])


@pytest.fixture(scope="module", params=["regex", "bert"])
def job(request, tmp_path_factory):
    """The files of a text job, and the probabilities of its student."""
    folder = tmp_path_factory.mktemp("job")
    kinds = {"regex": kd.text.WordVocabulary, "bert": kd.text.WordPieceVocabulary}
    vocabulary = kinds[request.param].learn(
        TEXTS * 3, vocabulary_size=60, sequence_length=8, for_apps=True
    )
    keras.utils.set_random_seed(0)
    student = kd.students.text_cnn(vocabulary, 3, embedding_dim=8, filters=8)
    student.layers[-1].kernel.assign(30 * student.layers[-1].kernel)
    ids = vocabulary(TEXTS).numpy()
    named = keras.Model(student.inputs, ClassNames(NAMES)(student.outputs[0]))
    named.save(folder / "distilled.keras")
    metadata = TextMetadata(NAMES, vocabulary, request.param)
    kd.export_tflite(student, folder / "student.tflite", sequence_length=8, metadata=metadata)
    kd.export_saved_model(
        student, folder / "serving", preprocessor=vocabulary, class_names=NAMES, warmup=TEXTS[:1]
    )
    expected = keras.ops.softmax(student(ids)).numpy()
    assert np.std(expected, axis=0).min() > 0.05
    return folder, expected


@pytest.mark.parametrize("name", ["", "student.tflite", "distilled.keras", "serving", "serving/1"])
def test_texts(job, name):
    folder, expected = job
    answers = predict(folder / name, TEXTS)
    np.testing.assert_allclose(by_name(answers), expected, atol=1e-4)
    assert all(row == sorted(row, key=lambda pair: -pair[1]) for row in answers)


def test_it_agrees_with_compare(job):
    """Labels that `predict` gives are right to the last one by `compare`."""
    folder, expected = job
    labels = [NAMES[k] for k in expected.argmax(axis=1)]
    data = kd.text.from_lists(TEXTS, labels, class_names=NAMES)
    comparison = kd.compare({"served": str(folder / "serving")}, data, num_threads=())
    answers = predict(folder, TEXTS, top=1)
    assert [row[0][0] for row in answers] == labels
    assert comparison["served"]["accuracy"].value == 1


def test_a_keras_file_that_reads_texts(tmp_path):
    vocabulary = kd.text.WordVocabulary.learn(TEXTS, vocabulary_size=20, sequence_length=8)
    texts = keras.Input((), dtype="string")
    student = kd.students.text_cnn(vocabulary, 1, embedding_dim=4, filters=4)
    keras.Model(texts, student(vocabulary(texts))).save(tmp_path / "teacher.keras")
    logits = student(vocabulary(TEXTS)).numpy()[:, 0]
    answers = predict(tmp_path / "teacher.keras", TEXTS, class_names=["no", "yes"])
    found = [dict(row)["yes"] for row in answers]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), rtol=1e-5)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three pictures of other sizes than the model's, and the model's files."""
    folder = tmp_path_factory.mktemp("pictures")
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 8, 3), name="image")
    x = layers.Rescaling(1 / 255)(image)
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))
    model.save(folder / "model.keras")
    kd.export_tflite(model, folder / "student.tflite", metadata=ImageMetadata(NAMES))
    paths = [folder / f"{n}.png" for n in range(3)]
    pixels = []
    for number, path in enumerate(paths):
        rng = np.random.default_rng(number)
        whole = rng.integers(0, 256, (6, 8, 3), "uint8").repeat(3, axis=0).repeat(3, axis=1)
        Image.fromarray(whole).save(path)
        pixels.append(np.rint(keras.ops.image.resize(whole.astype("float32"), (6, 8))))
    expected = keras.ops.softmax(model(np.stack(pixels))).numpy()
    return folder, [str(path) for path in paths], expected


def test_pictures(pictures):
    folder, paths, expected = pictures
    np.testing.assert_allclose(by_name(predict(folder, paths)), expected, atol=1e-4)
    answers = predict(folder / "model.keras", paths, class_names=NAMES)
    np.testing.assert_allclose(by_name(answers), expected, atol=1e-4)


def test_the_normalization_of_the_file(pictures, tmp_path):
    """An app computes (pixel - 10) / 20; so does this."""
    folder, paths, _ = pictures
    model = keras.models.load_model(folder / "model.keras")
    path = tmp_path / "m.tflite"
    kd.export_tflite(model, path, metadata=ImageMetadata(NAMES, 10.0, 20.0))
    expected = predict(folder / "model.keras", paths, class_names=NAMES, mean_std=(10, 20))
    np.testing.assert_allclose(by_name(predict(path, paths)), by_name(expected), atol=1e-4)


class TestErrors:
    def test_no_model(self, tmp_path):
        (tmp_path / "a.txt").touch()
        for path, found in (
            (tmp_path / "none", "which is not there"),
            (tmp_path / "none.keras", "which is not there"),
            (tmp_path / "a.txt", "which is none of them"),
            (tmp_path, "which is none of them"),
        ):
            with pytest.raises(ValueError, match=f"model must be a .tflite or .*{found}"):
                predict(path, ["a"])

    def test_no_names(self, pictures):
        folder, paths, _ = pictures
        with pytest.raises(ValueError, match=r"class_names must be given .*: 3 names"):
            predict(folder / "model.keras", paths)
        with pytest.raises(ValueError, match=r"class_names must be 3 names.*Received: 2 names"):
            predict(folder / "model.keras", paths, class_names=["a", "b"])

    def test_no_picture(self, pictures, tmp_path):
        folder, *_ = pictures
        (tmp_path / "a.png").write_text("none")
        with pytest.raises(ValueError, match=r"a\.png must be a picture. Received: not a picture"):
            predict(folder, [tmp_path / "a.png"])

    def test_no_tokenizer(self, job, tmp_path):
        folder, expected = job
        alone = tmp_path / "alone.keras"
        alone.write_bytes((folder / "distilled.keras").read_bytes())
        with pytest.raises(ValueError, match=r"vocabulary must be given .*alone\.keras, which"):
            predict(alone, TEXTS)
        answers = predict(alone, TEXTS, vocabulary=folder / "student.tflite")
        np.testing.assert_allclose(by_name(answers), expected, atol=1e-4)

    def test_numbers(self, tmp_path):
        inputs = keras.Input((4,), name="x")
        keras.Model(inputs, layers.Dense(3)(inputs)).save(tmp_path / "m.keras")
        with pytest.raises(ValueError, match=r"model must read texts, .*which reads x \(4,\)"):
            predict(tmp_path / "m.keras", ["a"])

    def test_an_output_that_may_be_anything(self, tmp_path):
        texts = keras.Input((), dtype="string")
        vocabulary = kd.text.WordVocabulary.learn(TEXTS, vocabulary_size=20, sequence_length=8)
        student = kd.students.text_cnn(vocabulary, 1, embedding_dim=4, filters=4)
        outputs = keras.layers.ReLU(max_value=1.0)(student(vocabulary(texts)))
        keras.Model(texts, outputs).save(tmp_path / "m.keras")
        with pytest.raises(ValueError, match="from_logits must say whether"):
            predict(tmp_path / "m.keras", TEXTS, class_names=["a", "b"])
        predict(tmp_path / "m.keras", TEXTS, class_names=["a", "b"], from_logits=False)

    def test_what_would_change_nothing(self, job, pictures, tmp_path):
        folder, paths, _ = pictures
        for model, examples, settings in (
            (job[0], TEXTS, {"mean_std": (0, 1)}),
            (job[0] / "serving", TEXTS, {"vocabulary": job[0] / "student.tflite"}),
            (folder / "model.keras", paths, {"vocabulary": job[0] / "student.tflite"}),
        ):
            with pytest.raises(ValueError, match=f"{next(iter(settings))} must be left out for a"):
                predict(model, examples, class_names=NAMES, **settings)

    def test_examples_and_top(self, pictures):
        folder, paths, _ = pictures
        with pytest.raises(ValueError, match="examples must be texts or pictures"):
            predict(folder, [])
        with pytest.raises(ValueError, match="top must be an integer"):
            predict(folder, paths, top=0)
