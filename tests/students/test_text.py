"""Text students: padding counts for nothing, and every kind reloads, exports and learns."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import keras_distill as kd
from keras_distill.distillation.taps import Taps
from keras_distill.students import bilstm
from keras_distill.students import text_cnn
from keras_distill.students import transformer

VOCABULARY = 50
TASKS = {"plain": {}, "pairs": {"pairs": True}, "per_word": {"per_word": True}}


def small_bilstm(num_classes=3, **kwargs):
    sizes = {"embedding_dim": 8, "units": 6, "dense_units": 5}
    return bilstm(VOCABULARY, num_classes, **{**sizes, **kwargs})


def small_text_cnn(num_classes=3, **kwargs):
    sizes = {"embedding_dim": 8, "filters": 4, "kernel_sizes": (2, 3, 5), "dropout": 0.0}
    return text_cnn(VOCABULARY, num_classes, **{**sizes, **kwargs})


def small_transformer(num_classes=3, **kwargs):
    sizes = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "dropout": 0.0}
    sizes["max_sequence_length"] = 40
    return transformer(VOCABULARY, num_classes, **{**sizes, **kwargs})


def first_token_transformer(num_classes=3, **kwargs):
    return small_transformer(num_classes, pooling="first", embedding_dim=5, **kwargs)


STUDENTS = [small_bilstm, small_text_cnn, small_transformer]
every_student = pytest.mark.parametrize("build", STUDENTS, ids=lambda build: build.__name__)
every_task = pytest.mark.parametrize("task", TASKS)


def texts(num_texts=4, length=7):
    """Ids of texts of different lengths; the second is one token, the last is empty."""
    ids = np.random.default_rng(0).integers(1, VOCABULARY, (num_texts, length)).astype("int32")
    ids[1, 1:] = 0
    ids[2, 4:] = 0
    ids[-1] = 0
    return ids


def inputs(task, padding=0):
    """Inputs of a task, with so many columns of padding added."""
    ids = np.pad(texts(), ((0, 0), (0, padding)))
    if task == "pairs":
        return np.stack([ids, ids[[2, 0, 3, 1]]], axis=1)
    if task == "per_word":
        starts = np.array([[1, 2, 4, 6], [0, 0, 0, 0], [1, 3, 0, 0], [0, 0, 0, 0]], "int32")
        return {"token_ids": ids, "word_starts": np.pad(starts, ((0, 0), (0, padding)))}
    return ids


def rows(x, index):
    return keras.tree.map_structure(lambda values: values[index], x)


def without_padding(task, example):
    """One example, of batch size 1, cut to its own length."""
    if task == "per_word":
        ids, starts = example["token_ids"], example["word_starts"]
        num_words = max(1, np.count_nonzero(starts))
        return {"token_ids": without_padding("plain", ids), "word_starts": starts[:, :num_words]}
    return example[..., : max(1, np.count_nonzero(example, axis=-1).max())]


@every_task
@pytest.mark.parametrize("build", [*STUDENTS, first_token_transformer], ids=lambda b: b.__name__)
def test_padding_never_changes_the_output(build, task):
    """Bucketed batches, a file of fixed length and a server must all give one answer."""
    student = build(**TASKS[task])
    expected = student(inputs(task)).numpy()
    assert np.isfinite(expected).all()
    for training in (False, True):
        padded = student(inputs(task, padding=9), training=training).numpy()
        np.testing.assert_allclose(padded[:, : expected.shape[1]], expected, atol=1e-5)
    for i in (1, 2, 3):
        alone = without_padding(task, rows(inputs(task), slice(i, i + 1)))
        logits = student(alone).numpy()[0]
        np.testing.assert_allclose(logits, expected[i][: len(logits)], atol=1e-5)


@pytest.mark.long_but_first
@every_task
@every_student
def test_reloaded_and_cloned_students_answer_alike(build, task, tmp_path):
    student = build(**TASKS[task])
    x = inputs(task)
    expected = student(x)
    student.save(tmp_path / "student.keras")
    reloaded = keras.models.load_model(tmp_path / "student.keras")
    cloned = keras.models.clone_model(student)
    cloned.set_weights(student.get_weights())
    for model in (reloaded, cloned):
        np.testing.assert_array_equal(model(x), expected)
        if task == "per_word":
            np.testing.assert_array_equal(model(x)._keras_mask, x["word_starts"] > 0)


@pytest.mark.long_but_first
@every_task
@every_student
def test_tflite_file_has_builtin_operations_only(build, task, tmp_path):
    student = build(**TASKS[task])
    path = tmp_path / "student.tflite"
    report = kd.export_tflite(student, path, representative_data=inputs(task), sequence_length=10)
    interpreter = Interpreter(str(path))
    names = {operation["op_name"] for operation in interpreter._get_ops_details()}
    assert names
    assert not any(name.startswith("Flex") for name in names)
    signature = interpreter.get_signature_list()["serving_default"]
    assert signature["outputs"] == ["logits"]
    assert set(signature["inputs"]) == {tensor.name for tensor in student.inputs}
    assert report.max_difference < 1e-5


@pytest.mark.long_but_first
@pytest.mark.parametrize(("build", "task"), list(zip(STUDENTS, TASKS)))
def test_dynamic_tflite_file_and_saved_model_agree_with_keras(build, task, tmp_path):
    student = build(**TASKS[task])
    kd.export_saved_model(student, tmp_path / "served", representative_data=inputs(task))
    report = kd.export_tflite(
        student,
        tmp_path / "s.tflite",
        quantization="dynamic",
        representative_data=inputs(task),
        sequence_length=10,
    )
    assert report.num_examples == 4


def test_unrolled_bilstm_computes_the_same():
    loop = small_bilstm(sequence_length=7)
    unrolled = small_bilstm(sequence_length=7, unroll=True)
    unrolled.set_weights(loop.get_weights())
    np.testing.assert_allclose(unrolled(texts()), loop(texts()), atol=1e-6)


@pytest.mark.long
@every_student
def test_students_learn_in_float16(build):
    """A mask of -1e9, or a sum over a long text, overflows there."""
    generator = np.random.default_rng(0)
    ids = generator.integers(3, VOCABULARY, (256, 8)).astype("int32")
    ids[:, 6:] = 0
    labels = generator.integers(0, 2, 256)
    ids[np.arange(256), generator.integers(0, 6, 256)] = 1 + labels
    keras.config.set_dtype_policy("mixed_float16")
    try:
        student = build(num_classes=2)
    finally:
        keras.config.set_dtype_policy("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # From the usual scale of 2^15, the first steps are skipped until the gradients fit.
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.02), 256)
    student.compile(optimizer, loss, metrics=["accuracy"])
    history = student.fit(ids, labels, epochs=10, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["accuracy"][-1] > 0.95
    assert student.compute_dtype == "float16"
    assert student(ids).dtype == "float32"
    assert np.isfinite(student(texts())).all()


@every_student
def test_given_embeddings_are_the_start(build):
    matrix = np.random.default_rng(0).normal(size=(VOCABULARY, 8)).astype("float32")
    for trainable in (True, False):
        student = build(embeddings=matrix, trainable_embeddings=trainable)
        variable = student.get_layer("token_embedding").embeddings
        np.testing.assert_array_equal(variable, matrix)
        assert any(v is variable for v in student.trainable_variables) == trainable


def test_embeddings_of_another_width_are_projected_to_the_transformers():
    matrix = np.ones((VOCABULARY, 5), "float32")
    student = transformer(VOCABULARY, 2, hidden_dim=8, num_layers=1, num_heads=2, embeddings=matrix)
    assert student.get_layer("token_embedding").embeddings.shape == (VOCABULARY, 5)
    assert student.get_layer("embedding_projection").kernel.shape == (5, 8)


def test_bilstm_has_the_papers_size():
    """Tang et al. count "less than a million" parameters beside the embeddings."""
    student = bilstm(1000, 2, embedding_dim=300)
    lstm = 2 * 4 * 150 * (300 + 150 + 1)
    assert student.count_params() - 1000 * 300 == lstm + (300 + 1) * 200 + (200 + 1) * 2


def test_only_the_length_of_the_vocabulary_is_needed():
    assert text_cnn(["", "a", "b"], 2, embedding_dim=4).count_params() == (
        text_cnn(3, 2, embedding_dim=4).count_params()
    )


def test_regression_has_one_output():
    assert small_bilstm(num_classes=1)(texts()).shape == (4, 1)


def test_pairs_are_compared_by_both_texts_difference_and_product():
    student = small_bilstm(pairs=True)
    read = keras.Model(student.input, student.get_layer("compare_pairs").output)
    encode = keras.Model(student.input, student.get_layer("bilstm").output)
    first, second = (
        encode(np.stack([ids, ids], axis=1)).numpy()[::2]
        for ids in np.moveaxis(inputs("pairs"), 1, 0)
    )
    expected = np.concatenate([first, second, abs(first - second), first * second], axis=1)
    np.testing.assert_allclose(read(inputs("pairs")), expected, atol=1e-6)


def test_word_logits_come_from_the_first_piece():
    student = small_transformer(per_word=True)
    x = inputs("per_word")
    hidden = keras.Model(student.input, student.get_layer("transformer_layer_0").output)(x)
    dense = student.get_layer("logits")
    expected = hidden.numpy()[0, [1, 2, 4, 6]] @ dense.kernel.numpy() + dense.bias.numpy()
    np.testing.assert_allclose(student(x)[0], expected, atol=1e-5)


@pytest.mark.long_but_first
@every_student
def test_keras_losses_and_metrics_ignore_word_padding(build):
    student = build(per_word=True)
    x = inputs("per_word", padding=3)
    labels = np.full(x["word_starts"].shape, -1)
    labels[x["word_starts"] > 0] = [0, 1, 2, 0, 1, 2]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    student.compile(loss=loss, metrics=["accuracy"])
    result = student.evaluate(x, labels, verbose=0, return_dict=True)
    is_word = x["word_starts"] > 0
    logits = student(x).numpy().astype("float64")[is_word]
    log_normalizer = np.log(np.exp(logits).sum(-1))
    picked = np.take_along_axis(logits, labels[is_word][:, None], axis=1)[:, 0]
    assert result["loss"] == pytest.approx(np.mean(log_normalizer - picked), rel=1e-5)
    assert result["accuracy"] == pytest.approx(np.mean(logits.argmax(-1) == labels[is_word]))


def test_distillers_soft_loss_ignores_word_padding():
    x = inputs("per_word", padding=3)
    distiller = kd.Distiller(student=small_text_cnn(per_word=True), alpha=0.0)
    distiller.compile(keras.optimizers.SGD(0.0))
    losses = []
    for padding_logit in (0.0, 9.0):
        logits = np.random.default_rng(1).normal(size=(4, 7, 3)).astype("float32")
        logits[x["word_starts"] == 0, 0] = padding_logit
        batch = kd.DistillationInputs(student=x, teacher_outputs=logits)
        losses.append(distiller.fit(batch, verbose=0).history["soft_loss"][0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] > 0


def test_transformer_layers_are_tapped_and_their_padding_ignored():
    """Hidden states of padding would be taught, too, and drown those of short texts."""
    student = small_transformer(num_layers=2)
    scores_path = "transformer_layer_1/self_attention_layer/attention_scores"
    paths = ["embeddings", "transformer_layer_0", "transformer_layer_1", scores_path]
    taps = Taps(student, paths)
    ids = texts()[:3]
    with taps.record() as recording:
        output = student(ids)
    activations = taps.activations(recording, output)
    scores = activations.pop(scores_path).numpy()
    assert scores.shape == (3, 2, 7, 7)
    np.testing.assert_allclose(scores.sum(-1)[:, 0][ids != 0], 1, atol=1e-5)
    assert scores[1, :, :1, 1:].max() < 1e-6
    for hidden in activations.values():
        teacher = hidden.numpy()
        teacher[ids == 0] += 100
        assert kd.losses.FeatureMSE()(teacher, hidden) == 0
        teacher[0, 0] += 1
        assert kd.losses.FeatureMSE()(teacher, hidden) > 0


def test_texts_beyond_max_sequence_length_are_refused():
    """Their last positions would have no embedding."""
    student = small_transformer(sequence_length=None)
    ids = np.ones((2, 41), "int32")
    with pytest.raises(ValueError, match=r"Truncate.*max_sequence_length=40.*length 41"):
        student(ids)
    any_length = tf.function(student, input_signature=[tf.TensorSpec((None, None), tf.int32)])
    assert any_length(ids[:, :40]).shape == (2, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Truncate"):
        any_length(ids)


BAD_ARGUMENTS = [
    (bilstm, {"vocabulary": 1}, "vocabulary of 1"),
    (bilstm, {"vocabulary": 2.5}, r"vocabulary must have a length.*vocabulary=2\.5"),
    (bilstm, {"num_classes": 0}, "num_classes=0"),
    (bilstm, {"embedding_dim": None}, "embedding_dim or embeddings must be given"),
    (bilstm, {"embedding_dim": -2}, "embedding_dim=-2"),
    (bilstm, {"units": 1.5}, r"units=1\.5"),
    (bilstm, {"dropout": 1.0}, r"dropout must be a rate in \[0, 1\).*dropout=1\.0"),
    (bilstm, {"embedding_dropout": "a"}, "embedding_dropout='a'"),
    (bilstm, {"unroll": True}, "unroll=True needs a fixed length"),
    (bilstm, {"sequence_length": 0}, "sequence_length=0"),
    (bilstm, {"pairs": True, "per_word": True}, "pairs and per_word exclude each other"),
    (bilstm, {"embeddings": np.ones((49, 8))}, r"\(50, 8\).*\(49, 8\)"),
    (bilstm, {"embeddings": np.ones((50, 9))}, r"\(50, 8\).*\(50, 9\)"),
    (bilstm, {"embeddings": np.full((50, 8), np.nan)}, "embeddings must be finite"),
    (text_cnn, {"kernel_sizes": ()}, r"kernel_sizes=\(\)"),
    (text_cnn, {"kernel_sizes": (3, 3)}, r"different widths.*kernel_sizes=\(3, 3\)"),
    (text_cnn, {"kernel_sizes": (0, 3)}, r"kernel_sizes=\(0, 3\)"),
    (text_cnn, {"filters": 0}, "filters=0"),
    (transformer, {"hidden_dim": 10, "num_heads": 4}, "hidden_dim=10, num_heads=4"),
    (transformer, {"num_layers": 0}, "num_layers=0"),
    (transformer, {"pooling": "max"}, r"'mean', 'first'.*pooling='max'"),
    (transformer, {"sequence_length": 600}, "at most 512.*sequence_length=600"),
]


@pytest.mark.parametrize(("build", "arguments", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_named(build, arguments, message):
    good = {"vocabulary": VOCABULARY, "num_classes": 2, "embedding_dim": 8}
    with pytest.raises(ValueError, match=message):
        build(**{**good, **arguments})
