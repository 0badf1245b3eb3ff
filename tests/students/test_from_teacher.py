"""Students cut out of a KerasHub BERT: what they take over, and what narrowing keeps."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import keras_distill as kd
from keras_distill.distillation.taps import Taps
from keras_distill.layers.bert_encoder import has_exact_gelu
from keras_distill.layers.bert_encoder import set_exact_gelu
from keras_distill.students import from_teacher
from keras_distill.teachers import text_classifier
from keras_distill.text import WordPieceVocabulary

NUM_TOKENS, WIDTH, NUM_LAYERS = 60, 16, 3


def backbone():
    model = keras_hub.models.BertBackbone(
        vocabulary_size=NUM_TOKENS,
        num_layers=NUM_LAYERS,
        num_heads=4,
        hidden_dim=WIDTH,
        intermediate_dim=24,
        dropout=0.2,
        max_sequence_length=20,
    )
    # New biases are zeros and gains ones: whether they are copied would not show.
    generator = np.random.default_rng(0)
    model.set_weights([w + generator.normal(0, 0.3, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def source():
    return backbone()


def classifier(num_classes=3, over=None):
    model = keras_hub.models.BertTextClassifier(over or backbone(), num_classes)
    generator = np.random.default_rng(2)
    head = model.get_layer("logits")
    head.set_weights([generator.normal(size=w.shape) for w in head.get_weights()])
    return model


def texts():
    ids = np.random.default_rng(1).integers(1, NUM_TOKENS, (5, 9)).astype("int32")
    ids[1, 4:] = 0
    ids[2, 1:] = 0
    return ids


def for_teacher(ids):
    mask = (ids != 0).astype("int32")
    return {"token_ids": ids, "padding_mask": mask, "segment_ids": np.zeros_like(ids)}


def student_backbone(student):
    (found,) = [
        layer
        for layer in student._flatten_layers()
        if isinstance(layer, keras_hub.models.BertBackbone)
    ]
    return found


def test_student_with_all_layers_is_the_teacher():
    teacher = classifier()
    student = from_teacher(teacher, layers=range(NUM_LAYERS))
    np.testing.assert_allclose(student(texts()), teacher(for_teacher(texts())), atol=1e-5)


def test_student_may_read_the_teachers_inputs():
    """Pairs of texts in one sequence differ by their segments."""
    teacher = classifier()
    student = from_teacher(teacher, layers=range(NUM_LAYERS), ids_only=False)
    x = for_teacher(texts())
    x["segment_ids"][:, 3:] = 1
    np.testing.assert_allclose(student(x), teacher(x), atol=1e-5)
    assert np.abs(student(x) - student(for_teacher(texts()))).max() > 1e-3


def test_chosen_layers_are_copied_in_order(source):
    student = student_backbone(from_teacher(source, layers=(2, 1), num_classes=2))
    assert student.num_layers == 2
    for mine, index in zip(student.transformer_layers, (2, 1)):
        for copied, original in zip(mine.weights, source.transformer_layers[index].weights):
            np.testing.assert_array_equal(copied, original)
    np.testing.assert_array_equal(student.pooled_dense.kernel, source.pooled_dense.kernel)
    np.testing.assert_array_equal(
        student.token_embedding.embeddings, source.token_embedding.embeddings
    )


def test_every_second_layer_by_default_and_the_teachers_dropout(source):
    student = student_backbone(from_teacher(source, num_classes=2))
    assert (student.num_layers, student.dropout) == (2, 0.2)
    np.testing.assert_array_equal(
        student.transformer_layers[1].weights[0], source.transformer_layers[2].weights[0]
    )


def test_backbone_deep_inside_a_model_is_found():
    teacher = classifier()
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in teacher.input}
    outer = keras.Model(inputs, keras.layers.Softmax()(teacher(inputs)))
    student = from_teacher(outer, layers=range(NUM_LAYERS))
    np.testing.assert_allclose(student(texts()), teacher(for_teacher(texts())), atol=1e-5)


@pytest.mark.long_but_first
@pytest.mark.parametrize("per_word", [False, True])
def test_text_classifier_is_copied_behind_its_vocabulary(per_word):
    """The usual way: the student reads the ids that the teacher's own vocabulary gives."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefg", "##a", "##b"]
    vocabulary = WordPieceVocabulary(tokens, sequence_length=20, add_special_tokens=True)
    source = keras_hub.models.BertBackbone(len(tokens), 2, 2, 8, 12, max_sequence_length=20)
    generator = np.random.default_rng(0)
    source.set_weights([w + generator.normal(0, 0.5, w.shape) for w in source.get_weights()])
    teacher = text_classifier(
        source, vocabulary, 3, per_word=per_word, sequence_length=20, exact_gelu=True
    )
    head = teacher.classifier.get_layer("logits")
    head.set_weights([generator.normal(size=w.shape) for w in head.get_weights()])
    student = from_teacher(teacher, layers=(0, 1), per_word=per_word)
    if per_word:
        words = tf.constant([["ab", "c", "gaab"], ["a", "", ""]])
        logits, ids = teacher(words), vocabulary.tokenize_words(words)
    else:
        texts = tf.constant(["a ba c", "gaab"])
        logits, ids = teacher(texts), vocabulary(texts)
    assert np.std(logits, axis=0).min() > 1e-2
    np.testing.assert_allclose(student(ids), logits, atol=1e-5)


def test_head_of_another_size_starts_anew():
    teacher = classifier(num_classes=3)
    student = from_teacher(teacher, num_classes=5)
    np.testing.assert_array_equal(student.get_layer("logits").bias, np.zeros(5))
    assert student.output_shape == (None, 5)


@pytest.mark.long
def test_exact_gelu_is_kept_across_saving(tmp_path):
    """KerasHub's BERT forgets it, and the logits drift without a word."""
    source = backbone()
    set_exact_gelu(source)
    teacher = classifier(over=source)
    student = from_teacher(teacher, layers=range(NUM_LAYERS))
    expected = teacher(for_teacher(texts()))
    np.testing.assert_allclose(student(texts()), expected, atol=1e-5)
    tanh = from_teacher(classifier(), layers=range(NUM_LAYERS))
    tanh.set_weights(student.get_weights())
    assert np.abs(tanh(texts()) - expected).max() > 1e-4
    student.save(tmp_path / "student.keras")
    reloaded = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_allclose(reloaded(texts()), expected, atol=1e-5)
    assert has_exact_gelu(reloaded)


@pytest.mark.long_but_first
@pytest.mark.parametrize("ids_only", [True, False])
@pytest.mark.parametrize("per_word", [True, False])
def test_reloaded_student_answers_alike(per_word, ids_only, source, tmp_path):
    student = from_teacher(source, num_classes=3, per_word=per_word, ids_only=ids_only)
    x = texts() if ids_only and not per_word else for_teacher(texts())
    if ids_only and per_word:
        x = {"token_ids": texts()}
    if per_word:
        x["word_starts"] = np.array([[1, 3, 4]] * 3 + [[2, 0, 0]] * 2, "int32")
    expected = student(x)
    assert expected.shape == ((5, 3, 3) if per_word else (5, 3))
    student.save(tmp_path / "student.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "student.keras")(x), expected)
    if per_word:
        np.testing.assert_array_equal(expected._keras_mask, x["word_starts"] > 0)


@pytest.mark.long_but_first
@pytest.mark.parametrize("width", [WIDTH, 8])
def test_padding_never_changes_the_output(width):
    student = from_teacher(classifier(), hidden_dim=width)
    ids = np.concatenate([texts(), np.zeros((1, 9), "int32")])
    padded = np.pad(ids, ((0, 0), (0, 6)))
    assert np.isfinite(student(ids)).all()
    np.testing.assert_allclose(student(padded), student(ids), atol=1e-5)


def test_narrowed_embeddings_are_the_best_of_their_rank(source):
    """The oracle is NumPy's singular value decomposition, cut off (Eckart and Young)."""
    student = student_backbone(from_teacher(source, num_classes=2, hidden_dim=8))
    original = source.token_embedding.embeddings.numpy().astype("float64")
    narrowed = student.token_embedding.embeddings.numpy().astype("float64")
    left, values, right = np.linalg.svd(original, full_matrices=False)
    best = left[:, :8] * values[:8] @ right[:8]
    projection = np.linalg.lstsq(narrowed, original, rcond=None)[0]
    np.testing.assert_allclose(projection @ projection.T, np.eye(8), atol=1e-5)
    np.testing.assert_allclose(narrowed @ projection, best, atol=1e-5)


def test_narrowing_loses_nothing_that_lies_within_the_width():
    """A narrow BERT in the corner of a wide one, zeros elsewhere, must be found again."""
    generator = np.random.default_rng(0)
    source = keras_hub.models.BertBackbone(NUM_TOKENS, 1, 4, WIDTH, 24, max_sequence_length=20)
    narrow = keras_hub.models.BertBackbone(NUM_TOKENS, 1, 2, 8, 12, max_sequence_length=20)
    narrow.set_weights([w + generator.normal(0, 0.3, w.shape) for w in narrow.get_weights()])
    for wide_variable, variable in zip(source.weights, narrow.weights):
        values = np.zeros(wide_variable.shape)
        values[tuple(slice(size) for size in variable.shape)] = variable
        wide_variable.assign(values)
    student = student_backbone(from_teacher(source, layers=[0], num_classes=2, hidden_dim=8))
    # Its basis of the width is another one.
    turn, *_ = np.linalg.lstsq(
        student.token_embedding.embeddings, narrow.token_embedding.embeddings, rcond=None
    )
    expected = {"/".join(v.path.split("/")[-2:]): v.numpy() for v in narrow.weights}
    found = {"/".join(v.path.split("/")[-2:]): v.numpy() for v in student.weights}
    for name, values in found.items():
        if name.endswith("/gamma"):
            expected[name] = np.diag(turn @ np.diag(expected[name]) @ turn.T)
            turned = values
        elif name in ("query/kernel", "key/kernel", "value/kernel"):
            turned = np.einsum("ij,ihd->jhd", turn, values)
        elif name == "feedforward_intermediate_dense/kernel":
            turned = turn.T @ values
        elif name == "pooled_dense/kernel":
            turned = turn.T @ values @ turn
        elif values.shape[-1] == 8:
            turned = values @ turn
        else:
            turned = values  # A bias of heads or neurons.
        np.testing.assert_allclose(turned, expected[name], atol=1e-4, err_msg=name)


def test_largest_heads_and_neurons_are_kept():
    source = backbone()
    layer = source.transformer_layers[0]
    attention, dense = layer._self_attention_layer, layer._feedforward_intermediate_dense
    attention.value_dense.kernel.assign(
        attention.value_dense.kernel * np.array([1e-3, 1, 1e-3, 1]).reshape(1, 4, 1)
    )
    scale = np.repeat([1e-3, 1], 12)
    dense.kernel.assign(dense.kernel * scale)
    student = student_backbone(from_teacher(source, layers=[0], num_classes=2, hidden_dim=8))
    mine = student.transformer_layers[0]
    assert (student.num_heads, student.intermediate_dim) == (2, 12)
    np.testing.assert_allclose(
        mine._self_attention_layer.value_dense.bias,
        attention.value_dense.bias.numpy()[[1, 3]],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        mine._feedforward_intermediate_dense.bias, dense.bias.numpy()[12:], rtol=1e-6
    )


@pytest.mark.long
def test_narrowed_student_trains_and_leaves_its_teacher_alone():
    teacher = classifier(num_classes=2)
    before = teacher.get_weights()
    student = from_teacher(teacher, layers=[1], hidden_dim=8, dropout=0.0)
    generator = np.random.default_rng(0)
    ids = generator.integers(3, NUM_TOKENS, (128, 6)).astype("int32")
    labels = generator.integers(0, 2, 128)
    ids[:, 2] = 1 + labels
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    history = student.fit(ids, labels, epochs=20, verbose=0).history
    assert history["accuracy"][-1] > 0.95
    for value, old in zip(teacher.get_weights(), before):
        np.testing.assert_array_equal(value, old)


@pytest.mark.long
def test_student_exports(tmp_path):
    source = backbone()
    set_exact_gelu(source)
    student = from_teacher(source, num_classes=3, hidden_dim=8)
    path = tmp_path / "student.tflite"
    report = kd.export_tflite(
        student, path, quantization="dynamic", representative_data=texts(), sequence_length=12
    )
    names = [operation["op_name"] for operation in Interpreter(str(path))._get_ops_details()]
    assert not any(name.startswith("Flex") for name in names)
    assert report.num_examples == 5


def test_attention_and_hidden_states_can_be_tapped():
    """By the paths of the teacher's own layers."""
    teacher = classifier()
    paths = ["transformer_layer_0", "transformer_layer_0/self_attention_layer/attention_scores"]
    activations = []
    for model, x in [(teacher, for_teacher(texts())), (from_teacher(teacher), texts())]:
        taps = Taps(model, paths)
        with taps.record() as recording:
            output = model(x)
        activations.append(taps.activations(recording, output))
    for path in paths:
        np.testing.assert_allclose(activations[1][path], activations[0][path], atol=1e-5)


BAD_ARGUMENTS = [
    ({"layers": (0, 3)}, r"from 0 to 2.*layers=\(0, 3\)"),
    ({"layers": (-1,)}, r"layers=\(-1,\)"),
    ({"layers": ()}, r"at least one.*layers=\(\)"),
    ({"layers": 2}, "layers=2"),
    ({"hidden_dim": 32}, "at most the teacher's, 16.*hidden_dim=32"),
    ({"hidden_dim": 6}, "multiple of the width of its heads, 4.*hidden_dim=6"),
    ({"hidden_dim": 0}, "hidden_dim=0"),
    ({"num_classes": 0}, "num_classes=0"),
    ({"dropout": 2}, "dropout=2"),
    ({"sequence_length": 21}, "at most 20.*sequence_length=21"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_named(arguments, message, source):
    with pytest.raises(ValueError, match=message):
        from_teacher(source, **{"num_classes": 2, **arguments})


def test_teacher_without_a_head_needs_num_classes(source):
    with pytest.raises(ValueError, match="num_classes must be given"):
        from_teacher(source)


@pytest.mark.parametrize("is_quantized", [False, True])
def test_teacher_with_other_weights_is_refused(is_quantized, tmp_path):
    """Kernels without their LoRA lose the fine-tuning, and 8-bit codes are no weights."""
    source = backbone()
    if is_quantized:
        source.token_embedding.quantize("int8")
    else:
        source.enable_lora(2)
    with pytest.raises(ValueError, match=r"teacher must be one without LoRA.*the first 't"):
        from_teacher(source, num_classes=2, hidden_dim=8)
    if not is_quantized:
        for variable in source.weights:
            if "lora" in variable.name:
                variable.assign(np.ones(variable.shape))
        source.save_weights(tmp_path / "b.weights.h5")
        merged = backbone()
        merged.load_weights(tmp_path / "b.weights.h5")
        x = for_teacher(texts())
        expected = source(x)["pooled_output"]
        np.testing.assert_allclose(merged(x)["pooled_output"], expected, atol=1e-4)
        from_teacher(merged, num_classes=2, hidden_dim=8)


@pytest.mark.parametrize("teacher", [lambda x: x, keras.Sequential([keras.layers.Dense(2)])])
def test_teacher_without_a_backbone_is_refused(teacher):
    with pytest.raises(ValueError, match=r"one keras_hub\.models\.BertBackbone.*with 0 of them"):
        from_teacher(teacher, num_classes=2)


def test_teacher_with_two_backbones_is_refused():
    inputs = backbone().input
    both = [backbone()(inputs)["pooled_output"] for _ in range(2)]
    with pytest.raises(ValueError, match=r"with 2 of them.*give one member"):
        from_teacher(keras.Model(inputs, keras.layers.Average()(both)), num_classes=2)
