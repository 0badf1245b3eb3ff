"""A process beside this one that does what may crash, one request at a time."""

import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
import weakref

from keras_distill._arguments.printable import one_line
from keras_distill.export import child_script


class CrashError(Exception):
    """The other process has ended instead of answering.

    Args:
        how: The name of the signal, or the exit code.
        said: Its last lines.
        is_late: Whether it has ended itself, for something took longer than it may.
    """

    def __init__(self, how, said, is_late=False):
        super().__init__(f"{how}: {said}")
        self.how, self.said, self.is_late = how, said, is_late


class RefusalError(Exception):
    """The other process has answered with an error; as a str, its words."""


class ChildProcess:
    """Runs a script that answers requests; starts with the first one.

    A request and an answer are a line of JSON and, behind it, the bytes of arrays. Nothing is
    pickled: a process that ran a file of a stranger is not trusted more than the file. Whatever
    goes wrong during a request, Ctrl-C too, ends the process: else the next request would read
    the answer to this one.

    Args:
        script: Path of a script with a function `answer`, as `child_script` has it.
    """

    def __init__(self, script):
        self._script = script
        self._running = _Running()
        self._lock = threading.Lock()
        # With this object, or with the program.
        weakref.finalize(self, self._running.end)

    def ask(self, arrays=None, **request):
        """Sends a request and waits for the answer.

        Args:
            arrays: Arrays by name, of numbers or of bytes.
            request: What goes into the line of JSON.

        Returns:
            The answer, a dict, and its arrays by name.

        Raises:
            RefusalError: If the script answers with an error.
            CrashError: If the process ends.
        """
        with self._lock:
            try:
                process = self._running.process(self._script)
                child_script.write_message(process.stdin, request, arrays or {})
                answer, found = child_script.read_message(process.stdout)
            except (BrokenPipeError, EOFError):
                raise self._running.crash() from None
            except BaseException:
                self._running.end()
                raise
        if "error" in answer:
            raise RefusalError(one_line(answer["error"]))
        return answer, found


class _Running:
    """The process, if it runs: apart from `ChildProcess`, which may be gone when it is ended."""

    def __init__(self):
        self._process = self._log = None

    def process(self, script):
        if self._process is not None and self._process.poll() is not None:
            self.end()
        if self._process is None:
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
            self._process = subprocess.Popen(
                # -P: our files beside the script must not be found in place of other packages.
                [sys.executable, "-P", child_script.__file__, script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
            )
        self._log.seek(0)
        self._log.truncate()
        return self._process

    def crash(self):
        """A `CrashError` of the process, which has ended or is about to."""
        how = how_it_ended(self._process.wait())
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        said = [line for line in lines if not line.startswith("INFO:")]
        self.end()
        return CrashError(how, one_line(" | ".join(said[-3:]) or "nothing"), was_late(lines))

    def end(self):
        """Ends the process, whatever it does; the next request starts another one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, self._log):
            # What a pipe has not taken yet has no reader any more.
            with contextlib.suppress(OSError):
                stream.close()


def was_late(lines):
    """Whether a process has said on its standard error that Python's `faulthandler` ended it."""
    return any(line.startswith("Timeout (") for line in lines)


def how_it_ended(code):
    """An exit code of `subprocess` in words: the name of the signal, if it was one."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
