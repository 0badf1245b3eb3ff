import pytest

from keras_distill._files.json_files import read_json_object
from keras_distill._files.run_folder import RunFolder
from keras_distill.text import WordPieceVocabulary

DAMAGED = [b"", b"[1", b"[]", b"\xff\xfe", b'{"a":' * 100_000, b"1" * 5000, b"null"]


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: repr(content[:8]))
def test_one_error_with_the_files_name(tmp_path, content):
    for name in ("a.json", "job.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\na\n")
    with pytest.raises(ValueError, match=r"a\.json must hold a JSON object. Received: "):
        read_json_object(tmp_path / "a.json")
    with pytest.raises(ValueError, match=r"settings can be read. Received: .*job\.json must hold"):
        RunFolder("output", tmp_path, "job", {"seed": 0})
    with pytest.raises(ValueError, match=r"tokenizer_config\.json must hold a JSON object"):
        WordPieceVocabulary.from_teacher(tmp_path)


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"a\.json must hold .*FileNotFound"):
        read_json_object(tmp_path / "a.json")


def test_an_object(tmp_path):
    (tmp_path / "a.json").write_text('\ufeff{"a": 1}', encoding="utf-8")
    assert read_json_object(tmp_path / "a.json") == {"a": 1}
