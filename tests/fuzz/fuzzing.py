"""Reads a file that was damaged in many ways, and says of each whether it was read rightly."""

import collections
import importlib.util
import json
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile

import mutations
import pytest

# Of the files of tests, by their names: what their marks `rounds` are in all.
ROUNDS = pytest.StashKey[collections.Counter]()
_PACKAGE = importlib.util.find_spec("keras_distill").submodule_search_locations[0]
_SECONDS = 5
_MAX_CRASHES = 10


class Fuzz:
    """What the fixture `fuzz` gives: a call reads a file in many damaged versions.

    A round must end in one of two ways: the file is read, or one of our errors, in one line
    that can be printed, names it. All else fails the test: other errors, the end of the
    process, 5 seconds of work or 4 GB of memory. The message tells how to repeat the round,
    and where its file is.

    Args:
        seed: Of all rounds.
        times: Factor of the number of rounds.
        folder: For the damaged files; those of rounds that failed stay.
        patience: Seconds of the clock on the wall until a read is ended, more than the 5 seconds
            of work: the machine may do much else.
    """

    def __init__(self, seed, times, folder, patience=60):
        self._seed, self._times, self._folder, self._patience = seed, times, folder, patience
        self._process = None

    def __call__(self, reader, path, rounds, mutate=None, *, files="*", is_checked=False):
        """Damages a file, or one file of a folder, and reads it.

        Args:
            reader: Function of a path, at the top of its module, that runs in a child
                process. It returns what it read: numbers, texts, arrays, lists, dicts.
            path: A file or folder that is read without an error.
            rounds: Number of damaged versions; the fixture gives that of the mark `rounds`.
            mutate: A mutation of `mutations`; None: `by_suffix` of the file's name.
            files: Of a folder, a pattern of the files to damage.
            is_checked: Whether there is a checksum: what is read must be as before.

        Returns:
            Number of rounds with each outcome, "read" or the error's type.
        """
        path = pathlib.Path(path)
        before = self._read(reader, path)
        assert "digest" in before, f"the whole file is not read: {before}"
        outcomes, failures = collections.Counter(), {}
        num_crashes = 0
        for number in range(self._times * rounds):
            # Another test of the same reader may have left its own.
            name = f"{reader.__name__}-{self._seed}-{number}-"
            folder = pathlib.Path(tempfile.mkdtemp(prefix=name, dir=self._folder))
            copy, damaged = self._damage(path, folder, mutate, files, number)
            answer = self._read(reader, copy)
            if is_checked and answer.get("digest", before["digest"]) != before["digest"]:
                answer = {"end": "read something else, without a word"}
            failure = _failure(answer, {damaged.name, copy.name})
            if failure is None:
                outcomes[answer.get("error", "read")] += 1
                shutil.rmtree(folder)
                continue
            kept = f"round {number} of seed {self._seed}, {damaged}"
            kind = failure[:160], answer.get("place", answer.get("said"))
            failures.setdefault(kind, []).append((failure, kept))
            num_crashes += "said" in answer
            if num_crashes == _MAX_CRASHES:
                break
        assert not failures, _report(failures, outcomes)
        return outcomes

    def close(self):
        """Ends the child process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._messages.close()
            self._process = None

    def _damage(self, path, folder, mutate, files, number):
        """Makes a copy in an own folder: readers may remember, or map, what was at a path."""
        rng = mutations.generator(self._seed, number)
        copy = folder / path.name
        if path.is_dir():
            shutil.copytree(path, copy)
            found = sorted(file for file in copy.rglob(files) if file.is_file())
            damaged = found[rng.integers(len(found))]
            content = damaged.read_bytes()
            damaged.unlink()
            if rng.random() < 0.03:
                return copy, damaged
        else:
            damaged, content = copy, path.read_bytes()
        change = mutate or mutations.by_suffix(damaged.name)
        damaged.write_bytes(change(content, rng))
        return copy, damaged

    def _read(self, reader, path):
        if self._process is None:
            self._start(pathlib.Path(sys.modules[reader.__module__].__file__).stem)
        request = {"function": reader.__name__, "path": str(path)}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answer(self._patience)
        if answer is None:
            # Once again: it says what it died of, unless it still runs.
            is_running = self._process.poll() is None
            self._process.kill()
            code = self._process.wait()
            self._messages.seek(0)
            said = self._messages.read().decode("utf-8", "replace")[-1500:]
            self.close()
            end = (
                f"ran over {self._patience} s"
                if is_running
                else f"ended the process, {_name(code)}"
            )
            return {"end": end, "said": said}
        return answer

    def _start(self, module):
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        script = pathlib.Path(__file__).with_name("reading_process.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
        )
        if self._answer(300) is None:
            self._messages.seek(0)
            raise RuntimeError(self._messages.read().decode())

    def _answer(self, seconds):
        """The next line; None if there is none in time, or no process any more."""
        output = self._process.stdout
        if not select.select([output], [], [], seconds)[0]:
            return None
        line = output.readline()
        if not line:
            self._process.wait()
            return None
        return json.loads(line)


def _failure(answer, names):
    """What is wrong with an answer of the reading process; None if nothing is."""
    if "end" in answer:
        return answer["end"]
    if answer["seconds"] > _SECONDS:
        return f"took {answer['seconds']:.1f} s"
    if "error" not in answer:
        return None
    message = answer["message"]
    said = f"{answer['error']}: {message[:300]!r}"
    if not answer["place"].startswith(_PACKAGE):
        return f"an error that is not ours, {said}"
    if not any(name in message for name in names):
        return f"an error without the file's name, {said}"
    if not message.isprintable():
        return f"an error that is not one line for people, {said}"
    return None


def _name(code):
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def _report(failures, outcomes):
    num_failed = sum(map(len, failures.values()))
    lines = [f"{num_failed} of {num_failed + sum(outcomes.values())} rounds failed"]
    lines.append(f"the others: {dict(outcomes)}")
    for (_, source), rounds in sorted(failures.items(), key=lambda item: -len(item[1])):
        failure, kept = rounds[0]
        lines.append(f"{len(rounds)} x {failure}\n    from {source}\n    {kept}")
    return "\n".join(lines)
