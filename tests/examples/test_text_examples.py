"""Examples with BERTs from start to end, on a tiny BERT, a handful of texts and one student.

Three of them, for time: what they share is text_recipe.py.
"""

import argparse
import gzip
import importlib
import pathlib
import sys

import keras
import keras_hub
import numpy as np
import pytest

pytestmark = pytest.mark.long
EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "film", "book", "Oslo"]


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("bert"))
    tokenizer = keras_hub.models.BertTokenizer(TOKENS, lowercase=False)
    keras_hub.models.BertTextClassifierPreprocessor(tokenizer, 32).save_to_preset(folder)
    keras_hub.models.BertBackbone(
        len(TOKENS), num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
    ).save_to_preset(folder)
    return folder


def write(folder, names, header, rows, repeats=10):
    for name in names:
        lines = ["\t".join(row) for row in [header, *rows * repeats]]
        with gzip.open(folder / f"{name}.tsv.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    return folder


TEXTS = [("a good film", "1"), ("a bad film", "0"), ("good book", "1"), ("a bad book", "0")]


def run(name, bert_folder, data, output, monkeypatch, **settings):
    monkeypatch.syspath_prepend(EXAMPLES)
    example = importlib.import_module(name)
    compare = example.recipe.compare

    def compare_one(lessons, *others):
        return compare(dict(list(lessons.items())[-1:]), *others)

    monkeypatch.setattr(example.recipe, "NUM_EVALUATIONS", 1)
    monkeypatch.setattr(example.recipe, "compare", compare_one)
    if hasattr(example, "NUM_STEPS"):
        monkeypatch.setattr(example, "NUM_STEPS", 10)
    arguments = {"teacher": bert_folder, "preprocessor": None, "data": data, "seeds": 1}
    example.main(argparse.Namespace(**arguments, output=output, **settings))


@pytest.fixture
def checked(tmp_path, capsys):
    """Checks what an example wrote and printed."""
    yield tmp_path
    printed = capsys.readouterr().out
    assert "| teacher |" in printed
    assert (tmp_path / "out" / "student.tflite").stat().st_size > 0
    assert (tmp_path / "out" / "serving" / "1" / "saved_model.pb").exists()
    assert (tmp_path / "out" / "teacher.keras").exists()


def test_wnut17_entities(bert_folder, checked, monkeypatch):
    rows = [("a good film", "O O O"), ("Oslo a book", "B-place O O")]
    # Real ones have up to a hundred pieces, which no tagging model may cut.
    rows.append((" ".join(["a book"] * 40), " ".join(["O O"] * 40)))
    data = write(checked, ["train", "dev", "test"], ("tokens", "tags"), rows)
    settings = {"epochs": 1, "rate": 1e-3, "rounds": 2, "steps": 10}
    run("wnut17_entities", bert_folder, data, checked / "out", monkeypatch, **settings)


def test_mrpc_pairs(bert_folder, checked, monkeypatch):
    """With the option that differs most from the other examples: regression."""
    rows = [("a good film", "good film", "4.5"), ("a bad book", "good film", "0.2")]
    data = write(checked, ["train", "dev", "test"], ("sentence1", "sentence2", "label"), rows)
    # As long as it takes until the answers differ: of a student without any, no quantised file
    # passes the check.
    settings = {"epochs": 100, "rate": 3e-2, "rounds": 2, "steps": 200, "task": "stsb"}
    run("mrpc_pairs", bert_folder, data, checked / "out", monkeypatch, **settings)


def test_sst2_bert_to_bilstm(bert_folder, checked, monkeypatch):
    parts = ["train_phrases", "train_sentences", "dev", "test"]
    data = write(checked, parts, ("text", "label"), TEXTS)
    vectors = checked / "vectors.txt"
    vectors.write_text("".join(f"{word} 0.1 0.2\n" for word in TOKENS[5:]))
    settings = {"vectors": str(vectors), "rounds": 2, "steps": 10}
    run("sst2_bert_to_bilstm", bert_folder, data, checked / "out", monkeypatch, **settings)


def test_a_teacher_that_is_there_is_taken(bert_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXAMPLES)
    recipe = importlib.import_module("text_recipe")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save(tmp_path / "teacher.keras")
    found = recipe.finetuned_teacher(None, tmp_path, None, 2, epochs=1, learning_rate=1.0)
    np.testing.assert_array_equal(found.get_weights()[0], model.get_weights()[0])
    assert "remove it" in capsys.readouterr().out
    assert "text_recipe" in sys.modules
