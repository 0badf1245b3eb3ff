"""Keeps the last lines that another process writes, and shows them if it crashes.

A script of its own process, which outlives the crash. It imports little, to start fast.
"""

import collections
import sys

# What was written before this is no longer of interest.
FORGET = b"\x00keras-distill\n"
_MAX_LINES = 20


def last_lines(stream):
    """The last lines of a binary stream that has come to its end."""
    lines = collections.deque(maxlen=_MAX_LINES)
    for line in stream:
        lines.append(line)
        if line.endswith(FORGET):
            lines.clear()
    return list(lines)


if __name__ == "__main__":
    sys.stderr.buffer.writelines(last_lines(sys.stdin.buffer))
