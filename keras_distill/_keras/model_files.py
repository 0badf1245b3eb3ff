"""Reads a Keras model from a file of any origin; errors name the file."""

import contextlib
import json
import pathlib
import subprocess
import sys
import zipfile

import keras
import tensorflow as tf

from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at
from keras_distill._keras import weights_process
from keras_distill._keras.several_labels import remember

_SUFFIXES = (".keras", ".h5", ".hdf5")


def load_model_file(path, is_own=False):
    """Loads a model in Keras's safe mode, not compiled.

    Args:
        path: A .keras file, or an .h5 file of an older Keras.
        is_own: Whether this program wrote the file. Defaults to False: a separate process reads
            the weights first, because a damaged file can crash or hang the process.

    Returns:
        A `keras.Model`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a model, is damaged, or has layers that only its author can load.
        ImportError: If it needs a package that is not installed.
        MemoryError: If it does not fit into memory.
    """
    path = pathlib.Path(path)
    shown = printable(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"A model must be a .keras file. Received: {shown}, which {found_at(path)}."
        )
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"A model must be a .keras file, or an .h5 file. Received: {shown}")
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        # Keras's error would say that the file does not exist.
        raise ValueError(
            f"A .keras file must be a zip archive. Received: {shown}, which is damaged, or "
            "something else."
        )
    if not is_own:
        check_weights(path)
    with errors_that_name(
        path,
        "It may be damaged, or made by another version of Keras. If it needs code of its author, "
        "and you trust it, load it in Python with keras.models.load_model, and give the model in "
        "place of its path.",
    ):
        if is_own and path.suffix == ".keras":
            _check_sums(path)
        model = keras.models.load_model(path, compile=False)
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"A model's file must hold a keras.Model. Received: {shown}, which holds a "
            f"{type(model).__name__}"
        )
    if path.suffix == ".keras":
        remember(model, _compiled_loss(path))
    return model


@contextlib.contextmanager
def errors_that_name(path, remedy):
    """A context that turns errors of readers into one line with the name of the file or folder.

    Args:
        path: The file or folder.
        remedy: Sentences that say what to do.

    Raises:
        ImportError: If a package is missing.
        MemoryError: If there is not enough memory.
        ValueError: For all other errors of Keras, KerasHub, h5py or TensorFlow.
    """
    shown = printable(path)
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{shown} cannot be loaded: {one_line(error)}") from error
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise MemoryError(f"{shown} does not fit into memory: {one_line(error)}") from error
    except Exception as error:
        if _is_of_network(error):
            raise ValueError(
                f"{shown} cannot be downloaded: the network cannot be reached "
                f"({type(error).__name__}). Connect to it, or give a folder of this machine."
            ) from error
        raise ValueError(
            f"{shown} cannot be loaded ({type(error).__name__}: {one_line(error)}). {remedy}"
        ) from error


def _is_of_network(error):
    """Whether a download fails: KerasHub passes on the errors of requests and urllib."""
    names = {cause.__name__ for cause in type(error).__mro__}
    # An HTTPError is the answer of a server.
    return bool(names & {"ConnectionError", "URLError"}) and "HTTPError" not in names


def check_weights(path):
    """Raises `ValueError` unless another process can read the weights within a time limit."""
    # With -P, our files next to the script cannot shadow other packages.
    command = [sys.executable, "-P", weights_process.__file__, str(path.absolute())]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2] or "it crashes, or does not end"
        raise ValueError(
            f"{printable(path)} has weights that cannot be read ({one_line(said)}): it is "
            "damaged, or made to do that. Take another copy."
        )


def _check_sums(path):
    # From Python 3.13 on, zipfile compares no checksum where h5py has jumped within a file.
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"Bad CRC-32 for file {damaged!r}")


def _compiled_loss(path):
    """The compile loss in a .keras file, as Keras serializes it."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    compiled = config.get("compile_config")
    return compiled.get("loss") if isinstance(compiled, dict) else None
