"""Reads a Keras model from a file of any origin; what cannot be read is named."""

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
        is_own: Whether this program wrote the file. Defaults to False: its weights are read in a
            process of their own first, since a damaged file can end or hang the one that does.

    Returns:
        A `keras.Model`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no model, is damaged, or has layers that only its author can load.
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
        # Keras says of it that it is not there.
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
    """Makes one line with the name of a file or folder of all that its readers raise.

    Args:
        path: The file or folder.
        remedy: What to do, sentences.

    Raises:
        ImportError: If a package is missing.
        MemoryError: If there is not enough memory.
        ValueError: Of whatever else Keras, KerasHub, h5py or TensorFlow raise.
    """
    shown = printable(path)
    try:
        yield
    except ImportError as error:
        raise ImportError(f"{shown} cannot be loaded: {one_line(error)}") from error
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise MemoryError(f"{shown} does not fit into memory: {one_line(error)}") from error
    except Exception as error:
        raise ValueError(
            f"{shown} cannot be loaded ({type(error).__name__}: {one_line(error)}). {remedy}"
        ) from error


def check_weights(path):
    """Raises `ValueError` unless another process can read the weights, and in time."""
    # -P: our files beside the script must not be found in place of other packages.
    command = [sys.executable, "-P", weights_process.__file__, str(path.absolute())]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2] or "it crashes, or does not end"
        raise ValueError(
            f"{printable(path)} has weights that cannot be read ({one_line(said)}): it is "
            "damaged, or made to do that. Take another copy."
        )


def _compiled_loss(path):
    """The loss that a .keras file says its model was compiled with, as Keras serializes it."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    compiled = config.get("compile_config")
    return compiled.get("loss") if isinstance(compiled, dict) else None
