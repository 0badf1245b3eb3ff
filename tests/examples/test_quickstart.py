"""The quickstart from end to end, with a few steps of training in place of thousands."""

import importlib.util
import pathlib

import numpy as np
import pytest
import tensorflow as tf

PATH = pathlib.Path(__file__).parents[2] / "examples" / "quickstart.py"


@pytest.fixture(scope="module")
def quickstart():
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("quickstart", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.long
def test_quickstart_writes_what_it_says(quickstart, tmp_path, capsys, monkeypatch):
    vectorize, names, train, test = quickstart.load()
    # A fifth of each intent: what takes the time is to answer them all.
    fifth = [[part[::5] for part in parts] for parts in (train, test)]
    monkeypatch.setattr(quickstart, "load", lambda: (vectorize, names, *fifth))
    rows = quickstart.main(tmp_path, teacher_steps=50, student_steps=100, num_seeds=1)
    teacher, alone, distilled, file = rows
    assert teacher["parameters"] >= 8 * distilled["parameters"]
    assert alone["parameters"] == distilled["parameters"]
    assert file["bytes"] < distilled["bytes"] == (tmp_path / "distilled.tflite").stat().st_size
    assert (tmp_path / "results.png").stat().st_size > 10_000
    printed = capsys.readouterr().out
    for row in rows:
        assert f"{row['accuracy']:.1f}" in printed
    for sentence in quickstart.SENTENCES:
        assert repr(sentence) in printed

    serving = tf.saved_model.load(str(tmp_path / "serving" / "1"))
    logits = serving.signatures["serving_default"](text=tf.constant(quickstart.SENTENCES))["logits"]
    on_phone = quickstart.LiteRTClassifier(tmp_path / "distilled.tflite")
    vocabulary = (tmp_path / "vocabulary.txt").read_text().split("\n")
    words = quickstart.SENTENCES[0].split()
    ids = np.zeros(quickstart.LENGTH, "int32")
    ids[: len(words)] = [vocabulary.index(word) for word in words]
    np.testing.assert_allclose(on_phone(ids), logits[0], atol=1e-4)


def test_few_labels_are_kept(quickstart):
    labels = np.repeat(np.arange(150), 12)
    kept = quickstart.keep_labels(labels, per_class=10)
    assert np.bincount(kept[kept >= 0]).tolist() == [10] * 150
    assert (kept[kept >= 0] == labels[kept >= 0]).all()
