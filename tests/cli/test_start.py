"""What is answered before Keras is imported: help, versions, and wrong options."""

import argparse
import dataclasses
import re

import pytest
from processes import python

from keras_distill.export.tflite.modes import MODES
from keras_distill.jobs import ImageJob
from keras_distill.jobs import TextJob
from keras_distill_cli.parser import make_parser
from keras_distill_cli.parser import parse

COMMANDS = ["text", "image", "predict", "label", "export", "compare", "describe", "benchmark"]
SCRIPT = """
import sys
from keras_distill_cli.command import main
try:
    main(sys.argv[1:])
finally:
    heavy = {"absl", "keras", "keras_distill", "numpy", "tensorflow"}
    print("imported:", sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["text", "--help"], 0),
        (["--version"], 0),
        ([], 2),
        (["text", "a.csv", "--teacher", "ensemble", "--output", "out", "--teachers", "b"], 2),
    ],
)
def test_nothing_heavy_is_imported(arguments, code):
    """The answer took 5 seconds, because the whole package was imported first."""
    done = python("-c", SCRIPT, *arguments)
    assert done.returncode == code
    assert done.stdout.splitlines()[-1] == "imported: []"
    assert len(done.stderr.splitlines()) == (code > 0)


def test_another_backend_gets_one_line():
    done = python("-m", "keras_distill_cli", "describe", "x", KERAS_BACKEND="jax")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: keras_distill needs Keras on TensorFlow. Received: the backend")
    assert not done.stdout


def stopped(capsys, *arguments):
    with pytest.raises(SystemExit) as error:
        parse(arguments)
    return error.value.code, capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["texts"], "COMMAND must be one of text, .* Received: texts. The nearest is text. "),
        (["describe", "x", "--jsn"], "There is no option --jsn. The nearest is --json. "),
        (["describe", "x", "--xyz=1"], "There is no option --xyz. "),
        (["describe", "my", "file"], "one argument too many: file. Put quotes around spaces. "),
        (["text", "x", "--teacher", "t", "--output", "o", "--student", "cnn"], "--student must be"),
        (["text", "x"], "The following arguments are required: --teacher, --output. "),
    ],
)
def test_wrong_options(capsys, arguments, message):
    code, captured = stopped(capsys, *arguments)
    assert code == 2
    (line,) = captured.err.splitlines()
    assert re.match(f"Error: .*{message}.*See: keras-distill .*--help$", line), line


def test_spelled_as_in_the_usa():
    required = "text", "a.csv", "--teacher", "ensemble", "--output", "out"
    for option in ("--unlabelled", "--unlabeled"):
        assert parse([*required, option, "b.txt"]).unlabelled == ["b.txt"]
    assert parse(required).unlabelled == []


@pytest.mark.parametrize(("name", "job"), [("text", TextJob), ("image", ImageJob)])
def test_defaults_are_those_of_the_job(name, job):
    options = vars(parse([name, "a", "--teacher", "b", "--output", "c"]))
    for field in dataclasses.fields(job):
        if field.default is not dataclasses.MISSING:
            given = options[field.name]
            assert (tuple(given) if isinstance(given, list) else given) == field.default, field.name
    # An option that is no setting of the job would be accepted and forgotten.
    of_the_command = {"command", "debug", "dry_run", "json", "names", "quiet", "run", "show"}
    of_the_command |= {"trust", "version"}
    assert set(options) - {field.name for field in dataclasses.fields(job)} <= of_the_command


@pytest.mark.parametrize("command", ["text", "image", "export"])
def test_help_names_all_modes(command, capsys):
    _, captured = stopped(capsys, command, "--help")
    text = " ".join(captured.out.split())
    assert "none, float16, dynamic, int8, int16x8 or int4." in text
    assert set(MODES) == {"none", "float16", "dynamic", "int8", "int16x8", "int4"}


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command, capsys, monkeypatch):
    """Whole sentences with their defaults in words, and an example, within 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    code, captured = stopped(capsys, *command.split(), "--help")
    assert code == 0
    assert max(map(len, captured.out.splitlines())) <= 80
    assert "None" not in captured.out
    text = " ".join(captured.out.split())
    assert f"keras-distill {command or 'COMMAND'} " in text.split("--debug")[-1]
    # All that load .keras files.
    if command:
        assert ("--trust" in text) == (command not in ("describe", "benchmark"))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_sentences(command):
    parser = make_parser()[1][command]
    for action in parser._actions:
        if action.help != argparse.SUPPRESS and action.dest != "help":
            assert re.match(r"[A-Z].*\.$", action.help), action
