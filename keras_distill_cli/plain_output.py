"""Output for a file or a pipe: without colours and repeated lines."""

import io
import re

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# Text that a progress bar has overwritten.
_OVERWRITTEN = re.compile(r"[^\n]*[\r\b](?=[^\r\b\n])")


class PlainOutput(io.TextIOBase):
    """Passes on complete lines in the final form that a terminal would show.

    Keras's progress bars colour and rewrite their line even if the output is not a terminal.

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
        """Writes the last line, which has no line end; the stream stays open."""
        self._stream.write(self._line.strip("\r\b"))
        self._line = ""
        super().close()
