"""Runs Python in a process of its own, as from a user's shell."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def python(*command, **variables):
    """Runs Python with arguments, without what the tests set; returns the finished process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
