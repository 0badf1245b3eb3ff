"""Data that a KerasHub task's own fit would preprocess: an error that says what to do."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

import keras_distill as kd
from keras_distill.teaching import MutualLearning
from keras_distill.teaching import Stage
from keras_distill.teaching import fit_stages

VOCABULARY = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "good", "bad", "film"]
TEXTS = ["good film", "bad film"] * 2
Y = np.array([1, 0] * 2)
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def classifier(name, width=4):
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=VOCABULARY)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(VOCABULARY),
        num_layers=1,
        num_heads=2,
        hidden_dim=width,
        intermediate_dim=4,
        max_sequence_length=6,
    )
    return keras_hub.models.BertTextClassifier(
        backbone,
        2,
        preprocessor=keras_hub.models.BertTextClassifierPreprocessor(tokenizer, 6),
        name=name,
    )


@pytest.fixture(scope="module")
def pair():
    return classifier("student"), classifier("teacher", 8)


def batches(x=TEXTS):
    return tf.data.Dataset.from_tensor_slices((x, Y)).batch(2)


RAW = {
    "list": TEXTS,
    "array": np.array(TEXTS),
    "objects": np.array(TEXTS, object),
    "tensor": tf.constant(TEXTS),
}


@pytest.mark.long
def test_texts_of_a_task(pair):
    student, teacher = pair
    distiller = kd.Distiller(student=student, teacher=teacher)
    distiller.compile("sgd", CROSS_ENTROPY)
    ids = student.preprocessor(TEXTS)
    text = r"must be what the layers of the {} '{}' read. Received: strings.*model.preprocessor"
    x = "x " + text.format("student", "student")
    for raw in RAW.values():
        with pytest.raises(ValueError, match=x):
            distiller.fit(raw, Y)
        with pytest.raises(ValueError, match="validation_data " + text.format("student", ".*")):
            distiller.fit(ids, Y, validation_data=(raw, Y))
        with pytest.raises(ValueError, match=x):
            distiller.evaluate(raw, Y)
        with pytest.raises(ValueError, match=x):
            distiller.predict(raw)
        with pytest.raises(ValueError, match=x):
            distiller.train_on_batch(raw, Y)
        with pytest.raises(ValueError, match=x):
            fit_stages(
                [Stage("all", epochs=1, loss=CROSS_ENTROPY)],
                raw,
                Y,
                student=student,
                teacher=teacher,
            )
    for run in (distiller.fit, distiller.evaluate, distiller.predict):
        with pytest.raises(ValueError, match=x):
            run(batches())
    with pytest.raises(ValueError, match=x):
        distiller.fit((batch for batch in batches()), shuffle=False)
    with pytest.raises(ValueError, match="x " + text.format("teacher", "teacher")):
        distiller.fit(kd.data.pair_inputs(batches(), student=student.preprocessor))
    # The remedy.
    distiller.fit(
        batches().map(lambda x, y: (student.preprocessor(x), y)), verbose=0, shuffle=False
    )
    both = kd.data.pair_inputs(
        batches(), student=student.preprocessor, teacher=teacher.preprocessor
    )
    distiller.check_inputs("x", both)


def test_only_what_runs_must_be_able_to_read(pair):
    """A teacher that is not asked, and a model that reads texts."""
    student, teacher = pair
    ids = student.preprocessor(TEXTS)
    x = kd.DistillationInputs(student=ids, teacher=TEXTS)
    kd.Distiller(student=student, teacher=teacher, alpha=1.0).check_inputs("x", x)
    kd.Distiller(student=student, teacher=teacher).check_inputs(
        "x", x._replace(teacher_outputs=ids)
    )
    texts = keras.Input((), dtype="string")
    vectors = keras.layers.TextVectorization(vocabulary=["good", "bad"], output_mode="multi_hot")
    hidden = keras.layers.Dense(100)(vectors(texts))
    reader = keras.Model(texts, keras.layers.Dense(2)(hidden))
    kd.Distiller(student=student, teacher=reader).check_inputs("x", x)
    distiller = kd.Distiller(student=reader, teacher=lambda x: reader(x))
    distiller.compile("sgd", CROSS_ENTROPY)
    distiller.fit(tf.constant(TEXTS), Y, verbose=0)


def test_examples_of_a_store(pair, tmp_path):
    _, teacher = pair
    examples = tf.data.Dataset.from_tensor_slices(TEXTS)
    with pytest.raises(ValueError, match="dataset must be what the layers"):
        kd.TeacherStore.build(examples, teacher, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def dense(name):
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs), name=name)


def test_single_batches_are_checked_as_fit_checks_its_data():
    """Keras and TensorFlow spoke of shapes and casts, or of a compiled graph."""
    distiller = kd.Distiller(student=dense("student"), teacher=dense("teacher"))
    peers = MutualLearning([dense("one"), dense("two")])
    x, y = np.zeros((2, 4), "float32"), np.array([0, 1])
    for model in (distiller, peers):
        model.compile("sgd", CROSS_ENTROPY)
        for texts in (["a", "b"], tf.constant(["a", "b"]), kd.DistillationInputs(["a", "b"])):
            for run in (model.train_on_batch, model.test_on_batch, model.predict_on_batch):
                with pytest.raises(ValueError, match=r"^x must be what (the layers|all models)"):
                    run(texts)
        for labels, message in (
            (np.array(["a", "b"]), "^y must be numbers"),
            (y + 7, "^y must be classes from 0 to 1"),
        ):
            for run in (model.train_on_batch, model.test_on_batch):
                with pytest.raises(ValueError, match=message):
                    run(x, labels)
        with pytest.raises(ValueError, match="class_weight must be a dict"):
            model.train_on_batch(x, y, class_weight={"a": 1.0})
        with pytest.raises(ValueError, match="class_weight needs y"):
            model.train_on_batch(x, class_weight={0: 1.0})
        model.train_on_batch(x, y, class_weight={0: 1.0, 1: 2.0})
        model.test_on_batch(x, y)
    with pytest.raises(ValueError, match="layers of the teacher 'teacher' read"):
        distiller.train_on_batch(kd.DistillationInputs(x, teacher=["a", "b"]), y)
    distiller.test_on_batch(kd.DistillationInputs(x, teacher=["a", "b"]), y)
    # Of models that learn together no one is the teacher.
    both = kd.data.pair_inputs(tf.data.Dataset.from_tensors((x, y)))
    for run in (peers.fit, peers.evaluate, peers.predict):
        with pytest.raises(ValueError, match=r"x must be what all models read.*student= part"):
            run(both)


def test_texts_of_peers():
    peers = MutualLearning([classifier("one"), classifier("two")])
    peers.compile("sgd", CROSS_ENTROPY)
    for raw in RAW.values():
        for run in (peers.fit, peers.evaluate):
            with pytest.raises(ValueError, match="layers of the model 'one' read"):
                run(raw, Y)


def test_pixels_that_a_task_would_scale():
    """Of another range than the weights: without a word, the student is worse."""
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        image_shape=(16, 16, 3),
    )
    converter = keras_hub.layers.ResNetImageConverter(image_size=(16, 16), scale=1 / 255.0)
    preprocessor = keras_hub.models.ResNetImageClassifierPreprocessor(converter)
    task = keras_hub.models.ImageClassifier(backbone, 2, preprocessor=preprocessor)
    distiller = kd.Distiller(student=task, alpha=1.0)
    distiller.compile("sgd", "sparse_categorical_crossentropy")
    images = np.zeros((4, 16, 16, 3), "uint8")
    with pytest.raises(ValueError, match="Received: integer pixels, which its preprocessor scales"):
        distiller.fit(images, Y)
    distiller.check_inputs("x", preprocessor(images))
    plain = kd.Distiller(student=keras_hub.models.ImageClassifier(backbone, 2), alpha=1.0)
    plain.check_inputs("x", images)


@pytest.fixture(scope="module")
def text_module(tmp_path_factory):
    """A SavedModel from texts to logits of two classes, and the Keras model in it."""
    vectorize = keras.layers.TextVectorization(vocabulary=["good", "bad"], output_mode="multi_hot")
    texts = keras.Input((), dtype="string")
    model = keras.Model(texts, keras.layers.Dense(2)(vectorize(texts)))
    folder = str(tmp_path_factory.mktemp("saved") / "model")
    model.export(folder, verbose=False)
    return folder, model


KINDS = {
    "signature": lambda folder, _: tf.saved_model.load(folder).signatures["serving_default"],
    "function": lambda folder, _: tf.saved_model.load(folder).serve,
    "layer": lambda folder, _: keras.layers.TFSMLayer(folder, call_endpoint="serve"),
    "keras": lambda _, model: model,
}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_for_a_teacher_of_texts(text_module, kind):
    student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    distiller = kd.Distiller(student=student, teacher=KINDS[kind](*text_module))
    distiller.compile("sgd", CROSS_ENTROPY)
    numbers = np.ones((4, 3), "float32")
    for data in ((numbers, Y), (batches(numbers),)):
        with pytest.raises(
            ValueError, match=r"x must be strings, which the teacher reads.*float32"
        ):
            distiller.fit(*data, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match="dataset must be strings, which the teacher reads"):
        kd.TeacherStore.build(batches(numbers).unbatch(), distiller.teacher, "nowhere")
    # Integers alone are read by no text model either, and texts by this one.
    with pytest.raises(ValueError, match="Received: int64"):
        distiller.fit(np.ones((4, 3), "int64"), Y, verbose=0)


def test_a_saved_model_is_no_function(text_module):
    student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"teacher\.signatures\['serving_default'\]"):
        kd.Distiller(student=student, teacher=tf.saved_model.load(text_module[0]))


@pytest.mark.parametrize("raw", RAW)
def test_texts_for_a_student_of_numbers(raw):
    student = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    distiller = kd.Distiller(student=student, alpha=1.0)
    distiller.compile("sgd", CROSS_ENTROPY)
    for data in ((RAW[raw], Y), (batches(RAW[raw]),)):
        with pytest.raises(ValueError, match=r"what the layers of the student.*Received: strings"):
            distiller.fit(*data, shuffle=False, verbose=0)
