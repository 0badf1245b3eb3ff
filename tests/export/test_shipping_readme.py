"""The README's examples of shipping."""

import pathlib

import keras_distill as kd

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def test_the_shipping_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    section = README.read_text().split("## Shipping the student")[1].split("\n## ")[0]
    blocks = [block.split("```")[0] for block in section.split("```python\n")[1:]]
    assert len(blocks) == 2
    # Few repeat: untrained, the classes of equal texts would be near ties together.
    texts = [f"{a} {b} film" for a in ("good", "bad", "dull", "fine") for b in "abcdefgh"]
    namespace = {"kd": kd, "texts": texts}
    exec(compile("".join(blocks), "README.md", "exec"), namespace)
    printed = capsys.readouterr().out
    assert "token_ids: int32 [1, 32]" in printed
    assert "docker run" in printed
    assert pathlib.Path("models/reviews/1/saved_model.pb").exists()
