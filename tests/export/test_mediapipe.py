"""Files with metadata in MediaPipe Tasks, a client that nobody here wrote.

MediaPipe gets an environment of its own, without TensorFlow, as in an app.
"""

import gzip
import json
import pathlib
import random
import subprocess
import sys
import unicodedata

import keras
import numpy as np
import pytest
from keras import layers

import keras_distill as kd
from keras_distill.export import ImageMetadata
from keras_distill.export import TextMetadata
from keras_distill.export.tflite import trusted_file
from keras_distill.export.tflite.app_tokenizer import app_tokenizer
from keras_distill.jobs.prediction import predict

CLIENT = pathlib.Path(__file__).with_name("mediapipe_client.py")
SENTENCES = pathlib.Path(__file__).parents[2] / "examples/data/clinc150/test.tsv.gz"
LABELS = ("negative", "neutral", "positive")
SEQUENCE_LENGTH = 12
BLANKS = ("Zs", "Zl", "Zp", "Cc", "Cf")
# Of Unicode 16 and 17, which Python may not have.
NEW_MARKS = (
    "\u1b4e\u1b4f\u1b7f\U00010d6e\U00010ed0\U000113d4\U000113d7\U00011be1\U00016d6d\U0001e5ff"
)
# Mixed case, letters that fold into others, signs of full width, scripts, words of tokenizers.
WORDS = """a b good film Good FILM iPhone IPHONE STRASSE straße ÉTÉ été Été İ i̇ ß ẞ ǆ ǅ Ǆ ΣΑΣ σας ς
\ufb01 \u017f \u00aa \u2460 \uff01 \uff21\uff22 \uff41\uff42 电影 映画 とても良い ดีมาก 좋은
très don't [UNK] [PAD] [MASK] [mask] [CLS] [SEP] <PAD> <START> <UNKNOWN> <pad> <start> ##ing ..."""


@pytest.fixture(scope="session")
def mediapipe(pytestconfig):
    """Its interpreter; kept in pytest's cache, for half a gigabyte is not fetched twice."""
    environment = pytestconfig.cache.mkdir("mediapipe") / "environment"
    python = environment / "bin" / "python"
    imports = [python, "-c", "import mediapipe"]
    if python.exists() and subprocess.run(imports, capture_output=True).returncode == 0:
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "mediapipe"], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"MediaPipe cannot be installed here: {installed.stderr[-200:]}")
    return python


def scores(python, kind, model, inputs, labels=LABELS):
    """MediaPipe's scores, (examples, classes)."""
    printed = subprocess.run(
        [python, CLIENT, kind, model, inputs], capture_output=True, text=True, check=True
    ).stdout
    return np.array([[by_label[label] for label in labels] for by_label in json.loads(printed)])


@pytest.fixture(scope="module")
def sentences():
    """200 real ones: upper case, accents, punctuation and over-long texts among them."""
    with gzip.open(SENTENCES, "rt", encoding="utf-8") as file:
        texts = [line.split("\t")[0] for line in file.read().splitlines()[1::22]][:200]
    changes = [
        lambda text: text,
        str.upper,
        str.capitalize,
        lambda text: text.replace("e", "é"),
        lambda text: f"{text}, please -- (now)!",
        lambda text: " and ".join([text] * 4),
        lambda text: f"  {text}\n\t{text}? ",
    ]
    texts = [changes[i % len(changes)](text) for i, text in enumerate(texts)]
    assert len(set(texts)) == 200
    return texts


def with_clear_answers(model):
    """Untrained scores are all near 1/3, where a wrong id would not show."""
    model.layers[-1].kernel.assign(30 * model.layers[-1].kernel)
    return model


def in_keras(model, vocabulary, texts):
    ids = vocabulary(texts).numpy()
    ids = np.pad(ids, [(0, 0), (0, SEQUENCE_LENGTH - ids.shape[1])])
    expected = keras.ops.softmax(model(ids)).numpy()
    # Of what MediaPipe reads, all must matter.
    assert np.std(expected, axis=0).min() > 0.02
    return ids, expected


@pytest.mark.parametrize("kind", ["bert", "regex"])
@pytest.mark.long
def test_text_classifier_gives_keras_scores(kind, mediapipe, sentences, tmp_path):
    if kind == "bert":
        vocabulary = kd.text.WordPieceVocabulary.learn(
            sentences,
            vocabulary_size=400,
            sequence_length=SEQUENCE_LENGTH,
            for_apps=True,
        )
        model = kd.students.transformer(vocabulary, 3, hidden_dim=32, num_layers=2, num_heads=2)
    else:
        vocabulary = kd.text.WordVocabulary.learn(
            sentences, vocabulary_size=400, sequence_length=SEQUENCE_LENGTH, for_apps=True
        )
        model = kd.students.text_cnn(vocabulary, 3, embedding_dim=16, filters=16)
    with_clear_answers(model)
    path = tmp_path / "student.tflite"
    metadata = TextMetadata(LABELS, vocabulary, kind)
    inputs = tmp_path / "sentences.json"
    inputs.write_text(json.dumps(sentences), encoding="utf-8")
    ids, expected = in_keras(model, vocabulary, sentences)
    # MediaPipe has an interpreter of its own, which must know the operations of 8 bits.
    for quantization in ("none", "dynamic"):
        kd.export_tflite(
            model,
            path,
            quantization=quantization,
            representative_data=ids[:50],
            metadata=metadata,
            tolerance=0.15,
        )
        found = scores(mediapipe, "text", path, inputs)
        answers = map(dict, predict(path, sentences))
        answers = [[answer[label] for label in LABELS] for answer in answers]
        np.testing.assert_allclose(answers, found, atol=1e-4)
        if quantization == "none":
            np.testing.assert_allclose(found, expected, atol=1e-4)
        else:
            file = trusted_file.open_file(path.read_bytes())
            (rounded,) = trusted_file.run_file(file, metadata.prepare_inputs(ids), 1).values()
            np.testing.assert_allclose(found, rounded, atol=1e-4)


def model_that_tells_its_ids(vocabulary, num_ids):
    """A classifier whose log probabilities, but for a constant, are the ids that it reads."""
    token_ids = keras.Input((num_ids,), dtype="int32")
    embedding = layers.Embedding(len(vocabulary), 1)
    dense = layers.Dense(num_ids + 1, use_bias=False)
    model = keras.Model(token_ids, dense(layers.Flatten()(embedding(token_ids))))
    step = 20 / len(vocabulary)
    embedding.set_weights([step * np.arange(len(vocabulary))[:, None]])
    dense.set_weights([np.eye(num_ids, num_ids + 1)])
    return model, step


def ids_in_app(python, kind, vocabulary, texts, folder):
    """The ids that MediaPipe reads, padded to the vocabulary's sequence_length."""
    num_ids = vocabulary.sequence_length
    model, step = model_that_tells_its_ids(vocabulary, num_ids)
    labels = [str(number) for number in range(num_ids + 1)]
    metadata = TextMetadata(labels, vocabulary, kind)
    kd.export_tflite(model, folder / "ids.tflite", metadata=metadata)
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    found = scores(python, "text", folder / "ids.tflite", folder / "texts.json", labels)
    ids = np.log(found[:, :-1] / found[:, -1:]) / step
    assert np.abs(ids - np.round(ids)).max() < 0.1
    return np.round(ids).astype(int)


def strange_texts():
    """All blanks, marks and signs of Unicode, some of all its letters, mixtures by chance."""
    rng = random.Random(0)
    blanks = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in BLANKS]
    kinds = {c: unicodedata.category(chr(c))[0] for c in range(1, 0x110000)}
    marks = [chr(c) for c, kind in kinds.items() if kind == "P"]
    others = [chr(c) for c, kind in kinds.items() if kind in "SMLN"]
    letters = [*blanks, *marks, *NEW_MARKS, *rng.sample(others, 3000)]
    texts = ["", " ", "\t", "\0", "good\0film", "<PAD>", "<PAD> good <PAD>", "<START> good"]
    texts += ["x" * 100, "x" * 101, "é" * 50, "é" * 50 + "x", "good" * 24 + "film", "\ufeffgood"]
    texts += [f"a{c}b {c} Good{c}" for c in letters]
    words = WORDS.split()
    for _ in range(1500):
        parts = [rng.choice([rng.choice(words), rng.choice(letters)]) for _ in range(6)]
        texts.append("".join(part + rng.choice([" ", "", *blanks]) for part in parts))
    return texts


@pytest.mark.parametrize("kind", ["bert", "regex"])
@pytest.mark.long
def test_text_classifier_reads_the_ids_of_training(kind, mediapipe, tmp_path):
    """Of every string: all blanks, marks and scripts, mixed case, special words."""
    texts = strange_texts()
    learn = kd.text.WordPieceVocabulary.learn if kind == "bert" else kd.text.WordVocabulary.learn
    vocabulary = learn(texts[-1500:], 1500, sequence_length=SEQUENCE_LENGTH, for_apps=True)
    found = ids_in_app(mediapipe, kind, vocabulary, texts, tmp_path)
    ids = vocabulary(texts).numpy()
    ids = np.pad(ids, [(0, 0), (0, SEQUENCE_LENGTH - ids.shape[1])])
    differ = np.flatnonzero((found != ids).any(axis=1))
    # The file itself reads padding at the beginning of a text as an unknown word.
    tokenize = app_tokenizer(tmp_path / "ids.tflite", SEQUENCE_LENGTH, empty_is_unknown=True)
    np.testing.assert_array_equal(tokenize(texts), found)
    examples = [(ascii(texts[i]), found[i].tolist(), ids[i].tolist()) for i in differ[:5]]
    assert not len(differ), f"{len(differ)} of {len(texts)}: {examples}"


# Thai, kana and Devanagari: three bytes each; two, and four.
LETTERS = "\u0e01\u3042\u0915\u00e9\U00010330"


@pytest.mark.long
def test_words_of_more_than_100_bytes_are_unknown_to_both(mediapipe, tmp_path):
    """By the bytes of their letters: in Thai, which has no blanks, 34 letters are too many."""
    pieces = [prefix + letter * n for letter in LETTERS for n in (9, 1) for prefix in ("", "##")]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = kd.text.WordPieceVocabulary([*special, *pieces], sequence_length=16, for_apps=True)
    texts, is_known = [], []
    for letter in LETTERS:
        most = 100 // len(letter.encode())
        texts += [letter * most, letter * (most + 1), f"{letter * 3} {letter * 60} {letter}"]
        is_known += [True, False, False]
    found = ids_in_app(mediapipe, "bert", vocabulary, texts, tmp_path)
    ids = vocabulary(texts).numpy()
    np.testing.assert_array_equal(found, np.pad(ids, [(0, 0), (0, 16 - ids.shape[1])]))
    unknown = vocabulary.tokens.index("[UNK]")
    assert (ids != unknown).all(axis=1).tolist() == is_known


@pytest.mark.long
@pytest.mark.parametrize("ends_in_softmax", [False, True])
@pytest.mark.parametrize(
    ("mean", "std"), [(127.5, 127.5), ((120.0, 110.0, 100.0), (60.0, 55.0, 70.0))]
)
def test_image_classifier_gives_keras_scores(mean, std, ends_in_softmax, mediapipe, tmp_path):
    """MediaPipe itself refuses a mean for each channel."""
    image = keras.Input((24, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    x = layers.Dense(3)(layers.Flatten()(layers.AveragePooling2D(4)(x)))
    model = with_clear_answers(keras.Model(image, x))
    if ends_in_softmax:
        model = keras.Model(image, layers.Softmax()(x))
    # Smooth, as photos are, and in all colours.
    generator = np.random.default_rng(0)
    images = keras.ops.image.resize(generator.uniform(0, 255, (200, 4, 4, 3)), (24, 32))
    images = np.round(np.clip(images, 0, 255)).astype("uint8")
    x = ((images - np.array(mean)) / np.array(std)).astype("float32")
    path = tmp_path / "student.tflite"
    kd.export_tflite(
        model, path, representative_data=x[:50], metadata=ImageMetadata(LABELS, mean, std)
    )
    np.savez(tmp_path / "images.npz", images=images)
    expected = model(x).numpy() if ends_in_softmax else keras.ops.softmax(model(x)).numpy()
    assert np.std(expected, axis=0).min() > 0.1
    found = scores(mediapipe, "image", path, tmp_path / "images.npz")
    np.testing.assert_allclose(found, expected, atol=1e-4)
    files = [tmp_path / f"{number}.png" for number in range(20)]
    for file, pixels in zip(files, images):
        keras.utils.save_img(file, pixels, scale=False)
    answers = [[dict(row)[label] for label in LABELS] for row in predict(path, files)]
    np.testing.assert_allclose(answers, found[:20], atol=1e-4)
