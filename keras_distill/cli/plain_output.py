"""Output for a file or a pipe: no colour, and no line twice."""

import io
import re

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What a progress bar has gone back over.
_OVERWRITTEN = re.compile(r"[^\n]*[\r\b](?=[^\r\b\n])")


class PlainOutput(io.TextIOBase):
    """Passes whole lines on, as they look on a terminal in the end.

    Keras's progress bars colour and rewrite their line wherever they are printed.

    Args:
        stream: The text stream that gets the lines.
    """

    def __init__(self, stream):
        self._stream, self._line = stream, ""

    def write(self, text):
        *lines, line = _OVERWRITTEN.sub("", _COLOUR.sub("", self._line + text)).split("\n")
        self._stream.writelines(line.strip("\r\b") + "\n" for line in lines)
        self._line = line
        return len(text)

    def flush(self):
        self._stream.flush()

    def close(self):
        """Writes what has no end of line; the stream stays open."""
        self._stream.write(self._line.strip("\r\b"))
        self._line = ""
        super().close()
