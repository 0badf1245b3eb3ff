import io
import re
import sys

import keras
import numpy as np
import pytest

from keras_distill.jobs import progress_line
from keras_distill.jobs.progress import Stages

SECONDS = {"train the teacher": 20, "export": 8}


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def rows(self):
        """The lines that a terminal of 80 columns would show at the end."""
        rows = []
        for line in self.getvalue().split("\n"):
            row = ""
            for part in line.split("\r"):
                assert len(part) < 80
                row = part + row[len(part) :]
            rows.append(row.rstrip())
        return rows


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def open_terminal(monkeypatch):
    """Makes a terminal of both streams; the line is renewed only when a test says so."""

    def open_terminal():
        # Between fixture and test, pytest replaces the streams.
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        return terminal

    monkeypatch.setattr(progress_line, "_SECONDS", 3600)
    monkeypatch.setenv("COLUMNS", "80")
    return open_terminal


def test_a_line_for_each_stage(open_terminal):
    terminal = open_terminal()
    clock = Clock()
    stages = Stages(SECONDS, clock=clock)
    with stages("train the teacher"):
        clock.now = 14.0
    with stages("export"):
        clock.now = 23.5
    assert terminal.rows() == [
        f"{'[1/2] train the teacher':<32}14 s",
        f"{'[2/2] export':<32}10 s",
        "",
    ]


def test_it_shows_the_share_of_the_steps_and_the_time_left(open_terminal):
    terminal = open_terminal()
    clock = Clock()
    stages = Stages(SECONDS, clock=clock)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with stages("train the teacher"):
        settings = stages.of_fit(10)
        clock.now = 5.0
        model.fit(np.ones((5, 2)), np.ones((5, 1)), batch_size=1, **settings)
        print("Warning: half of it.")
    assert re.search(r"train the teacher +50%  about \d+ s left", terminal.getvalue())
    assert "step" not in terminal.getvalue()


def test_what_others_print_stands_above_the_line(open_terminal):
    terminal = open_terminal()
    stages = Stages(SECONDS, clock=Clock())
    with stages("export"):
        print("One", end=" ")
        print("sentence.")
        print("Another one.", file=sys.stderr)
    rows = terminal.rows()
    assert rows[0] == "One sentence."
    assert rows[1] == "Another one."
    assert rows[-2].startswith("[2/2] export")


def test_an_error_leaves_the_line_whole(open_terminal):
    terminal = open_terminal()
    with pytest.raises(ValueError, match="Stop"), Stages(SECONDS, clock=Clock())("export"):
        raise ValueError("Stop")
    print("Error: Stop")
    stage, *rows = terminal.rows()
    assert stage.startswith("[2/2] export")
    assert rows == ["Error: Stop", ""]


def test_without_a_terminal_a_plain_line_for_each_stage(capsys):
    stages = Stages(SECONDS, clock=Clock())
    for name in SECONDS:
        with stages(name):
            assert stages.of_fit(10)["verbose"] == 0
    assert capsys.readouterr().out.splitlines() == [
        "[1/2] train the teacher, about 28 s left",
        "[2/2] export, about 8 s left",
    ]


def test_verbose_leaves_the_terminal_to_keras(open_terminal):
    terminal = open_terminal()
    stages = Stages(SECONDS, verbose=True, clock=Clock())
    with stages("export"):
        assert stages.of_fit(10)["verbose"] == "auto"
    assert terminal.getvalue() == "[2/2] export, about 8 s left\n"
