import functools
import inspect
import json
import re

import hub_modules
import keras
import keras_hub
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from small_bert import TOKENS
from small_bert import make_backbone
from small_bert import make_preprocessor
from small_bert import write_hugging_face_folder

import keras_distill as kd
from keras_distill.distillation import tap_paths
from keras_distill.distillation import taps
from keras_distill.layers.bert_encoder import has_exact_gelu
from keras_distill.teachers import text_classifier
from keras_distill.teachers.hub import HubLayer
from keras_distill.text.vocabularies.word_pieces import WordPieceVocabulary

TEXTS = tf.constant(["the film is good", "bad .", "the cafe is unwanted"])
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def hub_folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    return (
        hub_modules.save_encoder(folder / "encoder"),
        hub_modules.save_preprocessor(folder / "preprocess"),
    )


@pytest.fixture(scope="module")
def hugging_face_folder(tmp_path_factory):
    return write_hugging_face_folder(
        tmp_path_factory.mktemp("hugging_face"), make_backbone(num_layers=1)
    )


def kerashub_classifier(num_layers=1, **arguments):
    arguments = {"num_classes": 3, **arguments}
    backbone = make_backbone(num_layers=num_layers)
    return text_classifier(backbone, make_preprocessor(), **arguments)


def hub_classifier(folders, **arguments):
    arguments = {"num_classes": 3, **arguments}
    return text_classifier(str(folders[0]), str(folders[1]), **arguments)


@pytest.fixture(scope="module", params=["kerashub", "hub"])
def classifier(request, hub_folders):
    """One of each kind for all tests: what they assert holds before and after a training."""
    return kerashub_classifier() if request.param == "kerashub" else hub_classifier(hub_folders)


# Strings in, logits out


def test_logits_are_those_of_the_head_on_the_pooled_output():
    model = kerashub_classifier()
    inner = model.classifier
    features = model.preprocessor(TEXTS)
    pooled = inner.get_layer("bert")(features)["pooled_output"]
    np.testing.assert_allclose(model(TEXTS), inner.get_layer("logits")(pooled), atol=1e-6)
    assert model(TEXTS).shape == (3, 3)


def test_company_in_a_batch_changes_no_logits(classifier):
    alone = np.concatenate([classifier(TEXTS[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(classifier(TEXTS), alone, atol=1e-5)


@pytest.mark.long_but_first
def test_predict_reads_strings(classifier):
    np.testing.assert_allclose(classifier.predict(TEXTS, verbose=0), classifier(TEXTS), atol=1e-6)


@pytest.mark.long_but_first
def test_plain_fit_learns_from_strings(classifier):
    classifier.compile(keras.optimizers.Adam(3e-3), CROSS_ENTROPY)
    before = [w.numpy() for w in classifier.trainable_weights]
    batches = tf.data.Dataset.from_tensors((TEXTS, np.arange(3))).repeat(60)
    loss = classifier.evaluate(batches.take(1), verbose=0)
    classifier.fit(batches, shuffle=False, verbose=0)
    assert classifier.evaluate(batches.take(1), verbose=0) < loss - 0.05
    assert not any(map(np.array_equal, classifier.trainable_weights, before))


@pytest.mark.long_but_first
def test_the_inner_model_shares_the_weights(classifier):
    inner = classifier.classifier
    batch = classifier.preprocessor(TEXTS)
    inner.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
    before = classifier(TEXTS)
    # What it least expects, so that one step shows.
    inner.fit(batch, np.argmin(before, axis=-1), verbose=0)
    assert np.abs(classifier(TEXTS) - before).max() > 1e-4
    np.testing.assert_allclose(classifier(TEXTS), inner(batch), atol=1e-6)


@pytest.mark.long_but_first
def test_saved_and_loaded_it_answers_alike(classifier, tmp_path):
    classifier.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(TEXTS), classifier(TEXTS), atol=1e-6)


@pytest.mark.long
def test_weights_are_saved_by_themselves(tmp_path):
    classifier, twin = kerashub_classifier(), kerashub_classifier()
    classifier.save_weights(tmp_path / "model.weights.h5")
    twin.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(twin(TEXTS), classifier(TEXTS), atol=1e-6)


@pytest.mark.long_but_first
def test_exported_it_reads_strings(classifier, tmp_path):
    kd.export_saved_model(classifier, tmp_path)
    serve = tf.saved_model.load(tmp_path / "1").signatures["serving_default"]
    np.testing.assert_allclose(serve(text=TEXTS)["logits"], classifier(TEXTS), atol=1e-5)


def test_a_frozen_encoder_trains_the_head_alone(hub_folders):
    encoder = HubLayer(hub_folders[0], trainable=False)
    model = text_classifier(encoder, HubLayer(hub_folders[1]), num_classes=3)
    assert [w.path for w in model.trainable_weights] == ["logits/kernel", "logits/bias"]


# Pairs, words, regression


@pytest.mark.long
def test_pairs(hub_folders):
    pairs = tf.constant([["the film", "is good"], ["the film", "bad"]])
    for model in (kerashub_classifier(pairs=True), hub_classifier(hub_folders, pairs=True)):
        logits = model(pairs)
        assert logits.shape == (2, 3)
        assert np.abs(logits - model(pairs[:, ::-1])).max() > 1e-7


@pytest.mark.long
def test_regression_learns_numbers():
    backbone = make_backbone(num_layers=1, dropout=0.0)
    model = text_classifier(backbone, make_preprocessor(), num_classes=1, dropout=0.0)
    model.compile(keras.optimizers.Adam(3e-3), "mse")
    batches = tf.data.Dataset.from_tensor_slices((TEXTS, [0.0, 0.5, 1.0])).batch(3).repeat(120)
    model.fit(batches, shuffle=False, verbose=0)
    np.testing.assert_allclose(model(TEXTS)[:, 0], [0.0, 0.5, 1.0], atol=0.2)


WORDS = tf.constant([["the", "unwanted", "film"], ["good", "", ""]])


@pytest.mark.long
def test_words_get_the_logits_of_their_first_piece(hub_folders):
    model = kerashub_classifier(per_word=True)
    inner = model.classifier
    features = model.preprocessor(WORDS)
    ids = {name: values for name, values in features.items() if name != "word_starts"}
    sequence = inner.get_layer("bert")(ids)["sequence_output"]
    logits = inner.get_layer("logits")(sequence).numpy()
    np.testing.assert_allclose(model(WORDS)[0], logits[0, [1, 2, 5]], atol=1e-6)
    np.testing.assert_allclose(model(WORDS)[1, 0], logits[1, 1], atol=1e-6)
    assert hub_classifier(hub_folders, per_word=True)(WORDS).shape == (2, 3, 3)


@pytest.mark.long
def test_padding_words_count_for_no_loss():
    model = kerashub_classifier(per_word=True, dropout=0.0)
    labels = np.array([[0, 1, 2], [2, 0, 0]])
    model.compile("sgd", CROSS_ENTROPY)
    log_probabilities = scipy.special.log_softmax(np.float64(model(WORDS)), -1)
    kept = [log_probabilities[0, i, i] for i in range(3)] + [log_probabilities[1, 0, 2]]
    loss = model.evaluate(tf.data.Dataset.from_tensors((WORDS, labels)), verbose=0)
    np.testing.assert_allclose(loss, -np.mean(kept), rtol=1e-5)


@pytest.mark.long
def test_a_teacher_of_words_teaches_words():
    teacher = kerashub_classifier(per_word=True)
    student = keras.models.clone_model(teacher)
    student.set_weights(teacher.get_weights())
    distiller = kd.Distiller(student=student, teacher=teacher, alpha=0.0)
    distiller.compile(keras.optimizers.SGD(0.0))
    history = distiller.fit(WORDS, verbose=0).history
    # Without dropout the student is its teacher.
    assert 0 < history["loss"][0] < 1
    distiller = kd.Distiller(
        student=student, teacher=teacher, alpha=0.0, validate_with_teacher=True
    )
    distiller.compile(keras.optimizers.SGD(0.0))
    assert distiller.evaluate(WORDS, verbose=0, return_dict=True)["loss"] < 1e-9


# Ready classifiers and presets


def ready_classifier():
    return keras_hub.models.BertTextClassifier(
        make_backbone(num_layers=1), num_classes=4, preprocessor=make_preprocessor()
    )


@pytest.mark.long
def test_a_ready_classifier_keeps_its_head():
    task = ready_classifier()
    model = text_classifier(task)
    np.testing.assert_allclose(model(TEXTS), task.predict(TEXTS.numpy(), verbose=0), atol=1e-5)


@pytest.mark.long
def test_a_preset_folder_of_a_classifier(tmp_path):
    task = ready_classifier()
    task.save_to_preset(tmp_path)
    model = text_classifier(tmp_path)
    np.testing.assert_allclose(model(TEXTS), task.predict(TEXTS.numpy(), verbose=0), atol=1e-5)
    assert text_classifier(tmp_path, num_classes=2)(TEXTS).shape == (3, 2)


@pytest.mark.parametrize(
    ("name", "part", "num_classes"),
    [
        ("preprocessor.json", (), 2),
        pytest.param("preprocessor.json", ("config", "tokenizer"), 2, marks=pytest.mark.long),
        pytest.param("tokenizer.json", (), 2, marks=pytest.mark.long),
        pytest.param("config.json", (), 2, marks=pytest.mark.long),
        pytest.param("task.json", (), None, marks=pytest.mark.long),
    ],
)
def test_a_preset_folder_without_the_name_of_a_class(name, part, num_classes, tmp_path):
    """KerasHub gives the dict in place of the object, which failed later and elsewhere."""
    ready_classifier().save_to_preset(tmp_path)
    if name == "tokenizer.json":
        # Which has the tokenizer, too, and is read first.
        (tmp_path / "preprocessor.json").unlink()
    config = json.loads((tmp_path / name).read_text())
    damaged = functools.reduce(dict.__getitem__, part, config)
    del damaged["class_name"]
    (tmp_path / name).write_text(json.dumps(config))
    with pytest.raises(ValueError, match=re.escape(str(tmp_path))):
        text_classifier(tmp_path, num_classes=num_classes)


def test_a_preset_folder_whose_preprocessor_cannot_run(tmp_path):
    """The job failed when its teacher read the first texts, without the name of the folder."""
    ready_classifier().save_to_preset(tmp_path)
    config = json.loads((tmp_path / "preprocessor.json").read_text())
    config["config"]["truncate"] = "round_n"
    (tmp_path / "preprocessor.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=re.escape(str(tmp_path)) + " cannot be loaded.*round_n"):
        text_classifier(tmp_path, num_classes=2)


@pytest.mark.parametrize("name", ["num_layers", "num_hidden_layers", "n_layers"])
def test_a_preset_folder_with_a_billion_layers(name, tmp_path):
    """They were made one after the other, until somebody stopped it."""
    content = {"model_type": "bert", "config": {name: 10**9}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    message = r"config\.json must be of a model with 1,000 layers or less\. Received: 1,000,000,000"
    with pytest.raises(ValueError, match=message):
        text_classifier(tmp_path, num_classes=2)


@pytest.mark.long
def test_a_hugging_face_folder_has_the_exact_gelu(hugging_face_folder, tmp_path):
    model = text_classifier(hugging_face_folder, num_classes=2)
    assert has_exact_gelu(model)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert has_exact_gelu(loaded)
    np.testing.assert_allclose(loaded(TEXTS), model(TEXTS), atol=1e-6)


@pytest.mark.long
def test_exact_and_approximate_gelu_differ(hugging_face_folder):
    exact, approximate = (
        text_classifier(hugging_face_folder, num_classes=2, exact_gelu=flag)
        for flag in (True, False)
    )
    assert not has_exact_gelu(approximate)
    # Small weights keep to the middle of the function, where both are alike.
    for model in (exact, approximate):
        model.set_weights([8 * w for w in exact.get_weights()])
    assert np.abs(exact(TEXTS) - approximate(TEXTS)).max() > 1e-3


def test_exact_gelu_is_the_gaussian_cdf(hugging_face_folder):
    model = text_classifier(hugging_face_folder, num_classes=2)
    _, layer = taps_of(model, "transformer_layer_0")
    x = np.linspace(-4, 4, 9).astype("float32")
    activation = layer._feedforward_intermediate_dense.activation
    np.testing.assert_allclose(activation(x), x * scipy.special.ndtr(x), atol=1e-6)


@pytest.mark.long
def test_presets_strip_accents(hugging_face_folder):
    model = text_classifier(hugging_face_folder, num_classes=2)
    ids = model.preprocessor(tf.constant(["Café"]))["token_ids"]
    np.testing.assert_array_equal(ids, [[2, TOKENS.index("cafe"), 3]])


@pytest.mark.long
def test_the_real_bert_of_shared(shared):
    model = text_classifier(shared / "models" / "minilm_l6_h384", num_classes=2)
    assert has_exact_gelu(model)
    assert model.count_params() == 22_713_986
    assert model(TEXTS).shape == (3, 2)


@pytest.mark.long
def test_a_real_tfhub_bert_is_the_kerashub_bert(
    shared, real_encoder_folder, real_preprocessor_folder
):
    """The same weights by both ways give the same logits, from the strings on.

    Of pairs, since they have all that texts have, and segments.
    """
    columns = ("sentence1", "sentence2")
    texts = kd.text.read_table(shared / "data/text/mrpc/dev.tsv.gz", text=columns).texts[:16]
    settings = {"num_classes": 2, "pairs": True, "sequence_length": 64}
    hub = text_classifier(
        str(real_encoder_folder), str(real_preprocessor_folder), name="hub", **settings
    )
    kerashub = text_classifier(shared / "models" / "minilm_l6_h384", **settings)
    hub.layers[-1].layers[-1].set_weights(kerashub.layers[-1].layers[-1].get_weights())
    dataset = tf.data.Dataset.from_tensor_slices(texts.astype(str)).batch(8)
    np.testing.assert_allclose(
        hub.predict(dataset, verbose=0), kerashub.predict(dataset, verbose=0), atol=1e-5
    )
    in_tf_data = next(iter(dataset.map(hub.preprocessor)))
    np.testing.assert_allclose(
        hub.classifier(in_tf_data), kerashub(texts[:8].astype(str)), atol=1e-5
    )


# Taps


def taps_of(model, path):
    return path, tap_paths.find(model, path)[0]


@pytest.mark.long
def test_hidden_states_and_attention_of_kerashub_are_taps():
    model = kerashub_classifier(num_layers=2)
    hidden = "transformer_layer_1"
    attention = "transformer_layer_0/self_attention_layer/attention_scores"
    with taps.record(model, [hidden, attention]) as recording:
        model(TEXTS)
    assert recording[hidden].shape == (3, 8, 16)
    np.testing.assert_allclose(
        tf.reduce_sum(recording[attention], -1), np.ones((3, 2, 8)), atol=1e-5
    )
    # "bad ." has 4 tokens.
    np.testing.assert_allclose(recording[attention][1, :, :, 4:], 0, atol=1e-6)


def test_hidden_states_of_hub_are_taps_and_attention_is_not_in_the_file(hub_folders):
    model = hub_classifier(hub_folders)
    path = "encoder[encoder_outputs][1]"
    with taps.record(model, [path]) as recording:
        model(tf.constant(["a good film"]))
    assert recording[path].shape == (1, 5, hub_modules.WIDTH)
    with pytest.raises(ValueError, match=r"TF-Hub.*no attention"):
        tap_paths.find(model, "encoder/attention_scores")


@pytest.mark.long_but_first
def test_a_string_teacher_teaches_a_student_of_ids_with_hidden_states(classifier, hub_folders):
    ids = keras.Input((None,), dtype="int32")
    hidden = keras.layers.GlobalAveragePooling1D(name="hidden")(keras.layers.Embedding(20, 8)(ids))
    student = keras.Model(ids, keras.layers.Dense(3)(hidden))
    objective = kd.Objective(
        kd.losses.FeatureMSE(), teacher_layer="dropout", student_layer="hidden", projector="auto"
    )
    distiller = kd.Distiller(student=student, teacher=classifier, alpha=0.0, objectives=[objective])
    distiller.compile(keras.optimizers.Adam(0.01))
    vocabulary = WordPieceVocabulary(TOKENS)
    batches = kd.data.pair_inputs(
        tf.data.Dataset.from_tensors(TEXTS).repeat(30), student=vocabulary
    )
    before = [w.numpy() for w in classifier.weights]
    history = distiller.fit(batches, epochs=2, shuffle=False, verbose=0).history
    assert history["loss"][1] < history["loss"][0]
    for weight, value in zip(classifier.weights, before):
        np.testing.assert_array_equal(weight, value)


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": None}, "num_classes must be the number of classes"),
        ({"num_classes": 0}, "num_classes must be an integer of 1 or more"),
        ({"dropout": 1.0}, r"dropout must be a rate in \[0, 1\)"),
        ({"pairs": True, "per_word": True}, "exclude each other"),
        ({"preprocessor": None}, "preprocessor must turn texts"),
        ({"preprocessor": lambda: make_preprocessor(TOKENS[:-1])}, "tokens, an encoder of 17"),
        (
            {"preprocessor": lambda: make_preprocessor(sequence_length=64)},
            "at most 32.*Received: 64",
        ),
        (
            {"preprocessor": WordPieceVocabulary(TOKENS, sequence_length=16)},
            r"add_special_tokens=True",
        ),
        ({"encoder": ready_classifier}, "ready classifier.*num_classes=3"),
    ],
)
def test_bad_arguments(arguments, message):
    arguments = {
        "encoder": lambda: make_backbone(num_layers=1),
        "preprocessor": make_preprocessor,
        "num_classes": 3,
        **arguments,
    }
    arguments = {
        name: value() if inspect.isfunction(value) else value for name, value in arguments.items()
    }
    with pytest.raises(ValueError, match=message):
        text_classifier(**arguments)


def test_a_hub_preprocessor_of_another_vocabulary(hub_folders):
    with pytest.raises(ValueError, match=r"must have one vocabulary. Received: .* of 17 tokens"):
        text_classifier(HubLayer(hub_folders[0]), make_preprocessor(), num_classes=2)


def test_pairs_need_a_preprocessor_that_joins_them():
    vocabulary = WordPieceVocabulary(TOKENS, sequence_length=16, add_special_tokens=True)
    with pytest.raises(ValueError, match="each text of a pair by itself"):
        text_classifier(make_backbone(), vocabulary, num_classes=2, pairs=True)


def test_exact_gelu_of_a_hub_encoder_is_refused(hub_folders):
    with pytest.raises(ValueError, match=r"exact_gelu is for KerasHub encoders.*exact_gelu=True"):
        hub_classifier(hub_folders, exact_gelu=True)
