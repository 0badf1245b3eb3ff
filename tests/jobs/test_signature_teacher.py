"""A fine-tuned classifier that is served as a SavedModel teaches as it is."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_distill as kd
from keras_distill.jobs.texts import signature_teacher
from keras_distill.jobs.texts.text_job import TextJob

CLASSES = ("food", "money", "travel")
TEXTS = {"food": "cook a meal", "money": "pay the bill", "travel": "book a flight"}


def save(path, signature):
    """Writes a SavedModel with one signature."""
    module = tf.Module()
    module.words = tf.Variable(tf.eye(3) * 8.0)
    module.serve = tf.function(lambda text: signature(module.words, text), autograph=False)
    serve = module.serve.get_concrete_function(tf.TensorSpec([None], tf.string, "text"))
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})
    return str(path)


def knows(words, text):
    names = [f".*{TEXTS[name].split()[-1]}.*" for name in CLASSES]
    found = [tf.strings.regex_full_match(text, name) for name in names]
    return tf.linalg.matmul(tf.cast(tf.stack(found, 1), "float32"), words)


def served(words, text):
    """As a server answers: names of classes, and two kinds of scores."""
    logits = knows(words, text)
    best = tf.gather(tf.constant(CLASSES), tf.argmax(logits, -1))
    return {"label": best, "probabilities": tf.nn.softmax(logits), "logits": logits}


def only_probabilities(words, text):
    answer = served(words, text)
    return {"label": answer["label"], "probabilities": answer["probabilities"]}


def write_table(path):
    rows = [f"{TEXTS[name]} {number},{name}" for number in range(20) for name in CLASSES]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return str(path)


@pytest.mark.parametrize("answers", [served, only_probabilities])
def test_the_output_for_the_classes_is_taken(tmp_path, answers):
    folder = save(tmp_path / "teacher", answers)
    teacher = signature_teacher.load(folder, "serving_default", 3)
    found = teacher.predict(tf.constant(list(TEXTS.values())), verbose=0)
    assert found.argmax(-1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.sum(-1), 8.0 if answers is served else 1.0, rtol=1e-5)


def test_a_column_of_texts_as_keras_exports_it(tmp_path):
    lookup = keras.layers.TextVectorization(output_mode="multi_hot")
    lookup.adapt(list(TEXTS.values()))
    model = keras.Sequential(
        [keras.Input((1,), dtype="string"), lookup, keras.layers.Dense(3, "softmax")]
    )
    model.export(tmp_path / "teacher", verbose=False)
    texts = tf.constant(list(TEXTS.values()))
    wanted = model(texts[:, None]).numpy()
    teacher = signature_teacher.load(str(tmp_path / "teacher"), "serving_default", 3)
    np.testing.assert_allclose(teacher(texts), wanted, rtol=1e-5)
    module = tf.saved_model.load(str(tmp_path / "teacher"))
    examples = tf.data.Dataset.from_tensor_slices(texts)
    signature = module.signatures["serving_default"]
    store = kd.TeacherStore.build(examples, signature, tmp_path / "store", verbose=0)
    stored = [x.teacher_outputs for x in store.attach(examples)]
    np.testing.assert_allclose(stored, wanted, atol=1e-3)


def test_a_store_leaves_out_names_of_classes(tmp_path):
    module = tf.saved_model.load(save(tmp_path / "teacher", only_probabilities))
    train = kd.text.from_lists(list(TEXTS.values()), list(TEXTS))
    signature = module.signatures["serving_default"]
    store = kd.TeacherStore.build(train, signature, tmp_path / "store", verbose=0)
    (inputs, _) = next(iter(store.attach(train).batch(3)))
    np.testing.assert_allclose(tf.reduce_sum(inputs.teacher_outputs, -1), 1.0, rtol=1e-3)


@pytest.mark.long
def test_a_whole_job(tmp_path):
    folder = save(tmp_path / "teacher", served)
    settings = {
        "train": write_table(tmp_path / "train.csv"),
        "output": str(tmp_path / "out"),
        "teacher": folder,
        "teacher_signature": "serving_default",
        "num_steps": 20,
        "num_threads": (),
    }
    TextJob(**settings).run()
    assert (tmp_path / "out" / "student.tflite").exists()
    TextJob(**settings).run()  # It goes on where it was: at the end.


class TestBadInput:
    """Before anything is trained or written."""

    def run(self, tmp_path, message, **settings):
        settings = {"teacher_signature": "serving_default", **settings}
        table = write_table(tmp_path / "train.csv")
        with pytest.raises(ValueError, match=message):
            TextJob(table, str(tmp_path / "out"), **settings).run()
        assert not (tmp_path / "out").exists()

    def test_no_saved_model(self, tmp_path):
        self.run(tmp_path, "must be the folder of a SavedModel.*is not there", teacher="ensemble")

    def test_the_folder_above_the_versions(self, tmp_path):
        for version in ("9", "10"):
            save(tmp_path / "model" / version, served)
        self.run(tmp_path, "Give one of its versions: .*10", teacher=str(tmp_path / "model"))

    def test_an_unknown_signature(self, tmp_path):
        folder = save(tmp_path / "teacher", served)
        message = r"signature must be one of the module's: \['serving_default'\]"
        self.run(tmp_path, message, teacher=folder, teacher_signature="serve")

    def test_a_preprocessor(self, tmp_path):
        folder = save(tmp_path / "teacher", served)
        message = "preprocessor must be left out with teacher_signature"
        self.run(tmp_path, message, teacher=folder, preprocessor="x")

    def test_a_name_of_another_type(self, tmp_path):
        message = "teacher_signature must be the name of a signature.*True"
        self.run(tmp_path, message, teacher=str(tmp_path), teacher_signature=True)

    def test_other_classes(self, tmp_path):
        folder = save(tmp_path / "teacher", lambda w, text: {"scores": knows(w, text)[:, :2]})
        message = r"one output of 3 columns.*gives scores: float32 \[None, 2\]"
        self.run(tmp_path, message, teacher=folder)

    def test_two_outputs_that_could_be_meant(self, tmp_path):
        folder = save(
            tmp_path / "teacher", lambda w, text: {"a": knows(w, text), "b": knows(w, text)}
        )
        self.run(tmp_path, "one output of 3 columns.*gives a: .*, b: ", teacher=folder)

    def test_numbers(self, tmp_path):
        model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3)])
        model.export(tmp_path / "teacher", verbose=False)
        message = r"must be a classifier that reads texts.*reads .*float32 \[None, 4\]"
        self.run(tmp_path, message, teacher=str(tmp_path / "teacher"))
