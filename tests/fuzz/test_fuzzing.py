"""That the fuzz tests see what they look for, and that damage can be repeated."""

import contextlib
import json
import os
import re

import mutations
import numpy as np
import pytest
from fuzzing import Fuzz

pytestmark = pytest.mark.long
TEXT = b"text,label\n" + b"".join(b"a good film %d,yes\nbad,no\n" % n for n in range(10))


def read_anything(path):
    return path.read_bytes()


def end_the_process(path):
    if path.read_bytes() != TEXT:
        os.abort()


def never_end(path):
    while path.read_bytes() != TEXT:
        pass


def take_all_memory(path):
    return np.ones(10**12 if path.read_bytes() != TEXT else 1)


def raise_an_error_of_others(path):
    return {TEXT: 1}[path.read_bytes()]


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (end_the_process, "ended the process, SIGABRT"),
        (never_end, "ran over 2 s"),
        (take_all_memory, "MemoryError"),
        (raise_an_error_of_others, "an error that is not ours, KeyError"),
    ],
)
def test_what_is_wrong_is_seen(reader, message, tmp_path):
    (tmp_path / "a.csv").write_bytes(TEXT)
    (tmp_path / "rounds").mkdir()
    with (
        contextlib.closing(Fuzz(0, 1, tmp_path / "rounds", patience=2)) as fuzz,
        pytest.raises(AssertionError) as failed,
    ):
        fuzz(reader, tmp_path / "a.csv", rounds=1)
    assert message in str(failed.value)
    kept = re.search(r"round 0 of seed 0, (\S+)", str(failed.value))
    assert os.path.exists(kept[1])


def test_a_checksum_that_says_nothing(fuzz, tmp_path):
    (tmp_path / "a.csv").write_bytes(TEXT)
    assert set(fuzz(read_anything, tmp_path / "a.csv", rounds=20)) == {"read"}
    with pytest.raises(AssertionError, match="read something else, without a word"):
        fuzz(read_anything, tmp_path / "a.csv", rounds=2, is_checked=True)


def npz(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.arange(4), y=np.ones((2, 2)))
    return (tmp_path / "x.npz").read_bytes()


@pytest.mark.parametrize(
    ("mutate", "content"),
    [
        (mutations.of_bytes, TEXT),
        (mutations.of_text, TEXT),
        (mutations.of_json, json.dumps({"a": [1, 2.5, None, {"b": "c"}]}).encode()),
        (mutations.of_json_lines, b'{"text": "a"}\n{"text": "b"}\n'),
        (mutations.by_suffix("x.npz"), npz),
        (mutations.by_suffix("x.csv.gz"), None),
    ],
)
def test_the_same_seed_is_the_same_damage(mutate, content, tmp_path):
    if content is None:
        content = mutations.gzip.compress(TEXT, mtime=0)
    content = content(tmp_path) if callable(content) else content
    damaged = [mutate(content, mutations.generator(1, n)) for n in range(300)]
    assert damaged == [mutate(content, mutations.generator(1, n)) for n in range(300)]
    assert len(set(damaged)) > 150
    # Most of it is what it was, or every reader would stop at its first byte.
    assert np.median([len(data) for data in damaged]) < 2 * len(content) + 500
