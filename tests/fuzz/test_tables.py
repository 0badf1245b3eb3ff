"""Damaged tables of texts, vocabularies and word vectors."""

import functools
import gzip
import unicodedata

import mutations
import pytest
import tensorflow as tf

import keras_distill as kd
from keras_distill.jobs.texts import text_data
from keras_distill.text.vocabularies.base import read_tokens
from keras_distill.text.vocabularies.word_vectors import vector_words

pytestmark = [pytest.mark.long, pytest.mark.rounds(200)]

_LABELS = ("good", "bad", "so so")


def read_table(path):
    return _parts(text_data.read_labelled(path, "text", "label"))


def read_test_table(path):
    return _parts(text_data.read_labelled(path, "text", "label", _LABELS))


def read_texts(path):
    return _parts(text_data.read_unlabelled(str(path), "text"))


def read_numbers(path):
    return _parts(kd.text.read_table(path, label="score", regression=True))


def read_tags(path):
    return _parts(kd.text.read_table(path, text="words", label="tags", tags=True))


def read_pairs(path):
    return _parts(kd.text.read_table(path, text=("first", "second")))


def read_vocabulary(path):
    return read_tokens(path)


def read_folder(path):
    vocabulary = kd.text.WordPieceVocabulary.from_teacher(path)
    return vocabulary.tokens, vocabulary.get_config(), vocabulary(["a Good film"]).numpy()


@functools.cache
def _words():
    return kd.text.WordVocabulary.learn(["good film", "bad plot"], vocabulary_size=20)


def read_vectors(path):
    return kd.text.load_vectors(path, _words()), vector_words(path)


def _parts(examples):
    """What was read; TensorFlow takes the texts, and it is what it was the second time."""
    texts, labels = examples.texts.tolist(), examples.labels
    tf.constant([text for text in texts if isinstance(text, str)])
    for name in examples.class_names or ():
        assert not {"Cc", "Cs", "Zl", "Zp"} & set(map(unicodedata.category, name)), name
    return texts, None if labels is None else labels.tolist(), examples.class_names


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    texts = [
        f"{word} film number {i}, or not" for i, word in enumerate(["fine", "dull", "größer"] * 5)
    ]
    labels = [_LABELS[i % 3] for i in range(len(texts))]
    csv = "text,label,score\n" + "".join(
        f'"{text}",{label},{i / 7}\n' for i, (text, label) in enumerate(zip(texts, labels))
    )
    files = {
        "table.csv": csv,
        "table.tsv": csv.replace('",', "\t").replace('"', "").replace(",", "\t", 2),
        "table.jsonl": "".join(
            f'{{"text": "{text}", "label": "{label}", "first": "a {i}", "second": "b"}}\n'
            for i, (text, label) in enumerate(zip(texts, labels))
        ),
        "texts.txt": "\n".join(texts) + "\n",
        "tags.tsv": "words\ttags\n" + "in Paris\tO B-place\nso it is\tO O O\n" * 4,
        "vectors.txt": "".join(f"{word} 0.5 -1.25 3e-2\n" for word in ("good", "film", "bad", ".")),
        "vocab.txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\ngood\nfilm\n##s\nü\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    rows = files["table.tsv"].split("\n")
    tsv = "\n".join("\t".join(row.replace("\t", ",").rsplit(",", 2)) for row in rows if row) + "\n"
    (folder / "table.tsv").write_text(tsv, encoding="utf-8")
    for name in ("table.csv", "table.jsonl", "vectors.txt"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes(), mtime=0))
    (folder / "bert").mkdir()
    (folder / "bert" / "vocab.txt").write_text(files["vocab.txt"], encoding="utf-8")
    config = '{"do_lower_case": true, "strip_accents": null, "model_max_length": 512}'
    (folder / "bert" / "tokenizer_config.json").write_text(config)
    return folder


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.jsonl"])
@pytest.mark.parametrize("reader", [read_table, read_test_table, read_texts])
def test_tables(folder, fuzz, reader, name):
    assert fuzz(reader, folder / name)["read"] > 0


@pytest.mark.parametrize("name", ["table.csv.gz", "table.jsonl.gz"])
def test_compressed_tables(folder, fuzz, name):
    assert fuzz(read_table, folder / name)["read"] > 0


def test_the_checksum_of_gzip(folder, fuzz):
    path = folder / "table.csv.gz"
    assert fuzz(read_table, path, mutate=mutations.of_bytes, is_checked=True)["ValueError"] > 0


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        (read_numbers, "table.csv"),
        (read_tags, "tags.tsv"),
        (read_pairs, "table.jsonl"),
        (read_texts, "texts.txt"),
        (read_vocabulary, "vocab.txt"),
        (read_vectors, "vectors.txt"),
        (read_vectors, "vectors.txt.gz"),
    ],
)
def test_others(folder, fuzz, reader, name):
    assert fuzz(reader, folder / name)["read"] > 0


def test_a_tokenizers_folder(folder, fuzz):
    assert fuzz(read_folder, folder / "bert")["read"] > 0
