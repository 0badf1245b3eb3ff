"""A line at the bottom of a terminal that renews itself, with other output above it."""

import contextlib
import shutil
import sys
import threading

_SECONDS = 0.5


class ProgressLine:
    """Shows a text on the last line of a terminal, again and again.

    What others print meanwhile, such as warnings, appears on lines above it.

    Args:
        stream: The terminal's text stream.
        text: Function without arguments that returns the present text.
    """

    def __init__(self, stream, text):
        self._stream, self._text = stream, text
        self._lock = threading.RLock()
        # Others may print a line in several parts.
        self._is_free = True

    @contextlib.contextmanager
    def shown(self):
        """A context in which the line is shown; after it, its last text remains."""
        ended = threading.Event()
        thread = threading.Thread(target=self._renew, args=(ended,), daemon=True)
        out, err = _Above(sys.stdout, self), _Above(sys.stderr, self)
        self.draw()
        thread.start()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                yield
        finally:
            ended.set()
            thread.join()
            self.draw()
            self._stream.write("\n")
            self._stream.flush()

    def draw(self):
        """Writes the present text over the line."""
        width = self._width()
        with self._lock:
            if self._is_free:
                self._stream.write(f"\r{self._text()[:width]:<{width}}")
                self._stream.flush()

    def write_above(self, stream, text):
        """Writes to a stream that may be the same terminal's."""
        with self._lock:
            if self._is_free and text:
                self._stream.write(f"\r{'':<{self._width()}}\r")
                self._stream.flush()
            stream.write(text)
            stream.flush()
            if text:
                self._is_free = text.endswith("\n")
            self.draw()
        return len(text)

    def _renew(self, ended):
        while not ended.wait(_SECONDS):
            self.draw()

    def _width(self):
        # The last column stays empty, because some terminals begin a new line after it.
        return shutil.get_terminal_size().columns - 1


class _Above:
    """A text stream whose writes appear above the line."""

    def __init__(self, stream, line):
        self._stream, self._line = stream, line

    def write(self, text):
        return self._line.write_above(self._stream, text)

    def __getattr__(self, name):
        return getattr(self._stream, name)
