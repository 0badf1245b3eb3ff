"""The package as a whole: what importing it costs, and in which direction it imports."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

IMPORT_SCRIPT = """
import sys
import keras
before = set(sys.modules)
import keras_distill
heavy = {"tensorflow_hub", "tensorflow_text", "keras_hub", "keras_nlp", "tensorflow_datasets",
         "ai_edge_litert", "matplotlib", "apache_beam", "sklearn.svm", "jinja2"}
print(sorted(heavy & set(sys.modules) - before))
"""


def run(*command, **variables):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.long
def test_the_import_loads_nothing_large_beside_keras():
    """Its time is in benchmarks/README.md: a ratio of times would fail on a busy machine."""
    done = run(sys.executable, "-c", IMPORT_SCRIPT)
    assert done.stdout.strip() == "[]", done.stderr


def test_other_backends_get_one_error():
    done = run(sys.executable, "-c", "import keras_distill", KERAS_BACKEND="jax")
    assert done.returncode != 0
    assert "ImportError: keras_distill needs Keras on TensorFlow. Received: the backend 'jax'" in (
        done.stderr
    )
    assert "KERAS_BACKEND=tensorflow" in done.stderr


def test_imports_point_one_way():
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = run(sys.executable, "-c", command)
    assert done.returncode == 0, done.stdout + done.stderr
