"""What works without tensorflow-text, as on Windows, and what the error says where it is needed."""

import pathlib
import subprocess
import sys

import pytest
import small_bert

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = """
import importlib.abc
import sys


class NoPackage(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow_text":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NoPackage())

import keras_distill as kd

preset, folder = sys.argv[1:]
texts = ["book a flight", "pay my bill", "what is for dinner"]
words = kd.text.WordVocabulary.learn(texts, vocabulary_size=100, sequence_length=8, for_apps=True)
student = kd.students.text_cnn(words, 3, embedding_dim=8, filters=8)
metadata = kd.export.TextMetadata(["travel", "money", "food"], words, "regex")
kd.export_tflite(
    student, folder + "/student.tflite", representative_data=words(texts), metadata=metadata
)
kd.export_saved_model(student, folder + "/serving", preprocessor=words)
pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]
for make in (
    lambda: kd.text.WordPieceVocabulary.learn(texts, vocabulary_size=100),
    lambda: kd.text.WordPieceVocabulary(pieces, sequence_length=8),
    lambda: kd.teachers.text_classifier(preset, num_classes=3),
):
    try:
        make()
    except ImportError as error:
        print(error)
"""


@pytest.mark.long
def test_words_work_and_word_pieces_name_the_remedy(tmp_path):
    preset = tmp_path / "preset"
    small_bert.make_backbone().save_to_preset(preset)
    small_bert.make_preprocessor().save_to_preset(preset)
    command = [sys.executable, "-c", SCRIPT, str(preset), str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    errors = [line for line in run.stdout.splitlines() if "tensorflow_text" in line]
    assert len(errors) == 3
    for error in errors:
        assert "pip install tensorflow-text" in error
        assert "WSL2" in error
    assert (tmp_path / "student.tflite").exists()
    assert (tmp_path / "serving" / "1" / "saved_model.pb").exists()
