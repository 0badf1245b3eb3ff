"""A child process for work that may crash; it answers one request at a time."""

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
        said: The last lines of its output.
        is_late: Whether it has ended itself because of a time limit.
    """

    def __init__(self, how, said, is_late=False):
        super().__init__(f"{how}: {said}")
        self.how, self.said, self.is_late = how, said, is_late


class RefusalError(Exception):
    """The other process has answered with an error, whose message this has."""


class ChildProcess:
    """Runs a script that answers requests; the process starts with the first request.

    A request and an answer are a line of JSON followed by the bytes of arrays. Nothing is
    pickled: a process that ran a stranger's file is trusted no more than the file. Any failure
    during a request, including Ctrl-C, ends the process: otherwise the next request would read
    the answer to this one.

    Args:
        script: Path of a script with a function `answer`, as `child_script` describes it.
    """

    def __init__(self, script):
        self._script = script
        self._running = _Running()
        self._lock = threading.Lock()
        # The process ends with this object, or with the program.
        weakref.finalize(self, self._running.end)

    def ask(self, arrays=None, **request):
        """Sends a request and waits for the answer.

        Args:
            arrays: Arrays by name, of numbers or of bytes.
            request: The fields of the line of JSON.

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
    """The running process, if any. It must be able to outlive its `ChildProcess` to be ended."""

    def __init__(self):
        self._process = self._log = None

    def process(self, script):
        if self._process is not None and self._process.poll() is not None:
            self.end()
        if self._process is None:
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the process)
            self._process = subprocess.Popen(
                # With -P, our files next to the script cannot shadow other packages.
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
        """Ends the process, even if it is busy; the next request starts another one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, self._log):
            # Closing flushes unsent bytes into a pipe that has no reader any more.
            with contextlib.suppress(OSError):
                stream.close()


def was_late(lines):
    """Whether the standard error of a process shows that Python's `faulthandler` ended it."""
    return any(line.startswith("Timeout (") for line in lines)


def how_it_ended(code):
    """Describes an exit code of `subprocess`: the name of the signal, if there was one."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
