"""The README's examples with a BERT, on a small one."""

import pathlib

import keras
import tensorflow as tf
from small_bert import make_backbone
from small_bert import make_preprocessor

import keras_distill as kd

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def test_the_bert_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_backbone().save_to_preset("bert")
    make_preprocessor().save_to_preset("bert")
    rows = ["text\tlabel", *["the film is good\tgood", "the cafe is bad .\tbad"] * 20]
    pathlib.Path("train.tsv").write_text("\n".join(rows))
    text = README.read_text()
    section = text.split("## A BERT as the teacher")[1].split("\n## Shipping the student")[0]
    blocks = [block.split("```")[0] for block in section.split("```python\n")[1:]]
    code = "".join(blocks).replace('"bert_base_en_uncased"', '"bert"')
    assert '"bert"' in code
    code = code.replace("epochs=", "verbose=0, shuffle=False, epochs=")
    namespace = {"keras": keras, "kd": kd}
    exec(compile(code, "README.md", "exec"), namespace)
    assert pathlib.Path("student.tflite").exists()
    assert len(namespace["store"]) == 40
    assert namespace["teacher"](tf.constant(["the film", "bad"])).shape == (2, 2)
