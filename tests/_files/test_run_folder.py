"""One process works in a folder at a time; a new folder appears complete or not at all."""

import filelock
import pytest

from keras_distill._files.destination import new_folder
from keras_distill._files.run_folder import only_process


def test_another_process_is_refused(tmp_path):
    with (
        filelock.FileLock(tmp_path / ".lock"),
        pytest.raises(ValueError, match=r"^path must be a quiet folder. Received: .*Wait until"),
        only_process(tmp_path, "path must be a quiet folder."),
    ):
        pass


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / "run" / ".writing-killed").mkdir(parents=True)
    with only_process(tmp_path / "run", "path must be a quiet folder."):
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_new_folder_appears_complete(tmp_path):
    with new_folder(tmp_path / "1") as hidden:
        (hidden / "part").mkdir(parents=True)
        (hidden / "part" / "file").write_text("all")
        assert not (tmp_path / "1").exists()
    assert (tmp_path / "1" / "part" / "file").read_text() == "all"
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_folder_that_was_there_first_stays(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "file").write_text("first")
    with pytest.raises(OSError, match="not empty"), new_folder(tmp_path / "1") as hidden:
        hidden.mkdir()
    assert (tmp_path / "1" / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
