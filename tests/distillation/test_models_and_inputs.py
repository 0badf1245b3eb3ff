"""Teacher and student that do not read the same inputs, and real models as either."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_distill import DistillationInputs
from keras_distill import Distiller
from keras_distill import Objective
from keras_distill import losses
from keras_distill.data import pair_inputs

RNG = np.random.default_rng(6)
TEXTS = np.array(["good film", "bad film", "a good one", "so bad", "good good", "bad"] * 4)
LABELS = np.array([1, 0, 1, 0, 1, 0] * 4)


def sparse_ce():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def text_model(length, width, name):
    """Takes strings; each model has a tokenizer and a length of its own."""
    vectorize = layers.TextVectorization(output_sequence_length=length)
    vectorize.adapt(TEXTS)
    ids = keras.Input((length,), dtype="int32")
    hidden = layers.Embedding(10, width, name="embedding")(ids)
    model = keras.Model(ids, layers.Dense(2)(layers.Flatten()(hidden)), name=name)
    return vectorize, model


@pytest.mark.long_but_first
@pytest.mark.parametrize("batched_first", [False, True])
def test_two_tokenizers(batched_first):
    """The built-in Distiller refuses a teacher whose tokenizer differs."""
    student_ids, student = text_model(3, 4, "student")
    teacher_ids, teacher = text_model(6, 8, "teacher")
    dataset = tf.data.Dataset.from_tensor_slices((TEXTS, LABELS))
    if batched_first:
        dataset = pair_inputs(dataset.batch(8), student=student_ids, teacher=teacher_ids)
    else:
        dataset = pair_inputs(dataset, student=student_ids, teacher=teacher_ids).batch(8)
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(keras.optimizers.SGD(0.0), sparse_ce(), metrics=["accuracy"])
    history = distiller.fit(dataset, shuffle=False, validation_data=dataset, verbose=0).history
    taught, learnt = teacher(teacher_ids(TEXTS)), student(student_ids(TEXTS))
    assert history["soft_loss"][0] == pytest.approx(float(losses.SoftTargetKL()(taught, learnt)))
    assert history["val_loss"][0] == pytest.approx(float(sparse_ce()(LABELS, learnt)), rel=1e-6)
    predicted = distiller.predict(dataset, verbose=0)
    np.testing.assert_allclose(predicted, learnt, atol=1e-6)


def test_string_teacher_and_image_size():
    """Inputs of another dtype and another size reach the teacher as they are."""
    vectorize, model = text_model(4, 5, "teacher")
    strings = keras.Input((), dtype="string")
    teacher = keras.Model(strings, model(vectorize(strings)))
    _, student = text_model(3, 4, "student")
    x = DistillationInputs(RNG.integers(0, 9, (24, 3)), TEXTS)
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile("adam", sparse_ce())
    dataset = tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(6)
    history = distiller.fit(dataset, shuffle=False, epochs=2, verbose=0).history
    assert np.isfinite(history["soft_loss"]).all()


@pytest.mark.parametrize("kind", ["ragged", "sparse"])
def test_inputs_that_are_not_dense(kind):
    """In an epoch of batches, alone, and with a projector of which no size is known before."""
    if kind == "ragged":
        x = tf.ragged.constant([[1, 2], [3], [1, 2, 3], [2]] * 2)
        first = [keras.Input((None,), dtype="int32", ragged=True), layers.Embedding(6, 4)]
        first.append(layers.GlobalAveragePooling1D(name="hidden"))
    else:
        x = tf.sparse.from_dense(tf.eye(8))
        first = [keras.Input((8,), sparse=True), layers.Dense(4, name="hidden")]
    labels = np.arange(8) % 3
    teacher = keras.Sequential([*first, layers.Dense(3)])
    student = keras.models.clone_model(teacher)
    objective = Objective(
        losses.FeatureMSE(),
        teacher_layer="hidden",
        student_layer="hidden",
        projector=layers.Dense(4),
    )
    distiller = Distiller(student=student, teacher=teacher, objectives=[objective])
    distiller.compile("adam", loss=sparse_ce(), run_eagerly=True)
    dataset = tf.data.Dataset.from_tensor_slices((x, labels)).batch(4)
    logs = distiller.fit(dataset, shuffle=False, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    again = Distiller(
        student=student, teacher=teacher, objectives=[Objective.from_config(objective.get_config())]
    )
    again.compile("adam", loss=sparse_ce(), run_eagerly=True)
    assert np.isfinite(again.train_on_batch(x, labels))[0]


def carried(seed=0):
    outputs = np.random.default_rng(seed).normal(size=(24, 2)).astype("float32")
    return DistillationInputs(RNG.normal(size=(24, 5)).astype("float32"), (), outputs)


class CarriedBatches(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = slice(8 * index, 8 * index + 8)
        x = DistillationInputs(self.x.student[part], teacher_outputs=self.x.teacher_outputs[part])
        return x, LABELS[part]


@pytest.mark.long_but_first
@pytest.mark.parametrize("kind", ["arrays", "dataset", "generator", "py_dataset", "unlabelled"])
def test_carried_outputs_in_every_kind_of_data(kind):
    """The teacher does not run, and a bare DistillationInputs is not taken for (x, y, w)."""

    def teacher(x):
        raise AssertionError("The teacher ran although the data carries its outputs.")

    x = carried()
    student = keras.Sequential([keras.Input((5,)), layers.Dense(2)])
    distiller = Distiller(student=student, teacher=teacher)
    distiller.compile(keras.optimizers.SGD(0.0), sparse_ce())
    args = {"shuffle": False, "verbose": 0}
    if kind == "arrays":
        history = distiller.fit(x, LABELS, batch_size=8, **args)
    elif kind == "dataset":
        history = distiller.fit(tf.data.Dataset.from_tensor_slices((x, LABELS)).batch(8), **args)
    elif kind == "generator":
        batches = (CarriedBatches(x)[index] for index in range(3))
        history = distiller.fit(batches, steps_per_epoch=3, **args)
    elif kind == "py_dataset":
        history = distiller.fit(CarriedBatches(x), **args)
    else:
        history = distiller.fit(tf.data.Dataset.from_tensor_slices(x).batch(8), **args)
    expected = float(losses.SoftTargetKL()(x.teacher_outputs, student(x.student)))
    assert history.history["soft_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_carried_hidden_states():
    x = carried()
    hidden = RNG.normal(size=(24, 7)).astype("float32")
    x = x._replace(teacher_outputs={"output": x.teacher_outputs, "block_3": hidden})
    student = keras.Sequential([keras.Input((5,)), layers.Dense(7, name="h"), layers.Dense(2)])
    objective = Objective(
        losses.FeatureMSE(), teacher_layer="block_3", student_layer="h", name="hint"
    )
    distiller = Distiller(student=student, objectives=[objective])
    distiller.compile(keras.optimizers.SGD(0.0))
    history = distiller.fit(x, batch_size=12, shuffle=False, verbose=0).history
    expected = np.square(student.layers[0](x.student).numpy() - hidden).mean()
    assert history["hint"][0] == pytest.approx(expected, rel=1e-5)


def bert(num_layers, width, name):
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=20,
        num_layers=num_layers,
        num_heads=2,
        hidden_dim=width,
        intermediate_dim=16,
        max_sequence_length=8,
        dropout=0.0,
        name="bert",
    )
    logits = layers.Dense(3, name="logits")(backbone.output["pooled_output"])
    return keras.Model(backbone.input, logits, name=name), backbone


@pytest.mark.long
@pytest.mark.parametrize("jit_compile", [False, True])
def test_keras_hub_layers_and_attention(jit_compile):
    """Hidden states and attention probabilities from inside a KerasHub backbone."""
    ids = RNG.integers(1, 20, (12, 8))
    x = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": np.ones((12, 8), "int32")}
    (student, _), (teacher, _) = bert(1, 8, "student"), bert(2, 12, "teacher")
    for weight in teacher.weights:
        # At its start BERT attends evenly, and there would be nothing to learn.
        if "query/kernel" in weight.path or "key/kernel" in weight.path:
            weight.assign(30 * weight)
    attention = "self_attention_layer/attention_scores"
    objectives = [
        Objective(
            losses.FeatureMSE(),
            teacher_layer="transformer_layer_1",
            student_layer="transformer_layer_0",
            projector="auto",
            name="hidden",
        ),
        Objective(
            losses.FeatureMSE(),
            teacher_layer=f"transformer_layer_1/{attention}",
            student_layer=f"transformer_layer_0/{attention}",
            name="attention",
        ),
    ]
    distiller = Distiller(student=student, teacher=teacher, objectives=objectives)
    distiller.compile(keras.optimizers.Adam(0.01), jit_compile=jit_compile)
    history = distiller.fit(x, batch_size=4, epochs=8, verbose=0).history
    assert history["attention"][-1] < history["attention"][0]
    assert history["hidden"][-1] < 0.5 * history["hidden"][0]


@pytest.mark.long
def test_subclassed_models_and_a_nested_teacher():
    class Subclassed(keras.Model):
        def __init__(self, width):
            super().__init__()
            self.blocks = [layers.Dense(width, "relu", name=f"block_{i}") for i in range(2)]
            self.head = layers.Dense(3, name="head")
            self(np.zeros((1, 5), "float32"))

        def call(self, inputs):
            for block in self.blocks:
                inputs = block(inputs)
            return {"logits": self.head(inputs), "states": [inputs]}

    student, inner = Subclassed(4), Subclassed(9)
    inputs = keras.Input((5,))
    teacher = keras.Model(inputs, inner(inputs))
    objectives = [
        Objective(
            losses.FeatureMSE(),
            teacher_layer="block_1",
            student_layer="block_0",
            projector="auto",
            name="inner",
        ),
        Objective(
            losses.FeatureCosine(),
            teacher_layer="states[0]",
            student_layer="states[0]",
            projector="auto",
            name="key",
        ),
    ]
    soft_loss = {"logits": losses.SoftTargetKL()}
    distiller = Distiller(
        student=student, teacher=teacher, soft_loss=soft_loss, objectives=objectives
    )
    distiller.compile(keras.optimizers.Adam(0.02))
    x = RNG.normal(size=(24, 5)).astype("float32")
    history = distiller.fit(x, epochs=10, verbose=0).history
    for part in ("soft_loss", "inner", "key"):
        assert history[part][-1] < history[part][0], part


def test_callable_teacher_with_dict_outputs():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(6, name="h"), layers.Dense(3)])

    @tf.function
    def teacher(x):
        hidden = model.layers[0](x)
        return {"output": model.layers[1](hidden), "states": [x, hidden]}

    student = keras.Sequential([keras.Input((5,)), layers.Dense(6, name="h"), layers.Dense(3)])
    objective = Objective(
        losses.FeatureMSE(), teacher_layer="states[1]", student_layer="h", name="hint"
    )
    distiller = Distiller(student=student, teacher=teacher, objectives=[objective])
    distiller.compile(keras.optimizers.SGD(0.0))
    x = RNG.normal(size=(24, 5)).astype("float32")
    logs = distiller.train_on_batch(x, return_dict=True)
    expected = float(losses.SoftTargetKL()(model(x), student(x)))
    assert logs["soft_loss"] == pytest.approx(expected, rel=1e-5)
    expected = np.square(model.layers[0](x) - student.layers[0](x)).mean()
    assert logs["hint"] == pytest.approx(expected, rel=1e-5)
