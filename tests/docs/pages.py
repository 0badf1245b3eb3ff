"""Runs a page of the documentation as its reader would: its blocks in order, in one namespace.

What a page needs that only its reader has is made by tests/docs/prepared/PAGE.py, in which all of
these may stand, and none has to:

    prepare(folder, monkeypatch)   writes files; returns a dict of names, or None. With a third
                                   parameter it gets pytest's request.
    REPLACED                       dict from text of the page to what stands there in the test
    BEFORE                         dict from a part of a block to a function(names) before it
    RUN                            dict from a part of a block to a function(code, names) that runs
                                   it, in place of exec
    check(folder, names, printed)  what must hold in the end
"""

import importlib.util
import inspect
import pathlib
import re
import shlex
import subprocess
import sys
import textwrap
import types
from typing import NamedTuple

from keras_distill_cli import command as cli

ROOT = pathlib.Path(__file__).resolve().parents[2]
PREPARED = pathlib.Path(__file__).with_name("prepared")
# What cannot run here: commands that download or serve, other languages, and what was printed.
# The one block of HTML is run by tests/examples/test_web.py.
NOT_RUN = {"bash", "html", "kotlin", "swift", "text"}
_BLOCK = re.compile(r"^( *)```+ *([^\n`]*)\n(.*?)^\1```+ *$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language, its code, and the number of the line before the code."""

    language: str
    code: str
    line: int


def pages(pattern):
    """The pages that a pattern names."""
    found = sorted(ROOT.glob(pattern))
    assert found, pattern
    return found


def name_of(path):
    return str(path.relative_to(ROOT))


def prepared_name(path):
    """The file in PREPARED of a page."""
    return f"{path.name.split('.')[0].lower()}.py"


def read_blocks(path):
    """Lists the blocks of a page."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(match[2].strip(), textwrap.dedent(match[3]), text[: match.start(3)].count("\n"))
        for match in _BLOCK.finditer(text)
    ]


def code_of(path):
    """The blocks of a page that are run, as `(language, code)` without blank lines at the ends."""
    blocks = [block for block in read_blocks(path) if block.language in ("python", "sh")]
    return [(block.language, block.code.strip()) for block in blocks]


def run_page(path, folder, monkeypatch, request, capsys):
    """Runs a page's python and sh blocks, in the folder."""
    monkeypatch.chdir(folder)
    prepared = _prepared(path)
    names = {"__name__": "__main__", **(_prepare(prepared, folder, monkeypatch, request) or {})}
    blocks = [block for block in read_blocks(path) if block.language in ("python", "sh")]
    blocks = _replace(blocks, _replacements(prepared, blocks, request))
    before, run = (dict(getattr(prepared, kind, {})) for kind in ("BEFORE", "RUN"))
    capsys.readouterr()
    for block in blocks:
        for part in [part for part in before if part in block.code]:
            before.pop(part)(names)
        special = [part for part in run if part in block.code]
        if special:
            run.pop(special[0])(block.code, names)
        elif block.language == "python":
            # The lines of a traceback are those of the page.
            exec(compile("\n" * block.line + block.code, str(path), "exec"), names)
        else:
            _run_commands(block.code)
    assert [*before, *run] == [], "No block has these parts."
    if hasattr(prepared, "check"):
        prepared.check(folder, names, capsys.readouterr().out)


def _prepared(path):
    script = PREPARED / prepared_name(path)
    if not script.exists():
        return types.SimpleNamespace()
    spec = importlib.util.spec_from_file_location(f"prepared_{script.stem}", script)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Where AutoGraph looks for the module of a function.
    spec.loader.exec_module(module)
    return module


def _prepare(prepared, *arguments):
    if not hasattr(prepared, "prepare"):
        return None
    num_parameters = len(inspect.signature(prepared.prepare).parameters)
    return prepared.prepare(*arguments[:num_parameters])


def _replacements(prepared, blocks, request):
    replaced = dict(getattr(prepared, "REPLACED", {}))
    preset = "bert_base_en_uncased"
    if any(preset in block.code for block in blocks):
        replaced[preset] = str(request.getfixturevalue("bert_preset"))
    for text in replaced:
        assert any(text in block.code for block in blocks), f"No block has {text}"
    return replaced


def _replace(blocks, replaced):
    for old, new in replaced.items():
        blocks = [block._replace(code=block.code.replace(old, new)) for block in blocks]
    return blocks


def _run_commands(code):
    for line in code.replace("\\\n", " ").splitlines():
        command, *arguments = shlex.split(line, comments=True) or [""]
        if command == "keras-distill":
            assert cli.main(arguments) == 0, line
        elif command == "python":
            done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            print(done.stdout)
        else:
            assert not command, f"Only keras-distill and python are run: {line}"
