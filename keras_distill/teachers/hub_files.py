"""Finds the folder of a TF-Hub handle, and loads the module."""

import contextlib
import hashlib
import os
import pathlib
import socket
import stat

import tensorflow as tf

from keras_distill._arguments.imports import import_module
from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at
from keras_distill._files.plain_path import plain_path
from keras_distill._keras.damaged_saved_model import damaged_file
from keras_distill._keras.model_files import errors_that_name

# tensorflow_hub itself would wait forever if a firewall drops its packets.
_TIMEOUT_S = 20


def find_folder(handle):
    """Returns the local folder of a module, which is downloaded unless it is in the cache.

    Args:
        handle: A URL of tfhub.dev, Kaggle or any other place that tensorflow_hub knows,
            or a folder.

    The cache is $TFHUB_CACHE_DIR, or a folder of this user: tensorflow_hub's own cache is below
    /tmp, where anyone may put a program under the name of a module.

    Raises:
        ImportError: If a module must be downloaded, and tensorflow_hub cannot be imported.
        OSError: If it cannot be downloaded.
        PermissionError: If other users may write into the cache.
        ValueError: If the folder has no SavedModel, or one in the TF1 Hub format.
    """
    is_url = "://" in handle
    folder = _resolve(handle) if is_url else handle
    if not tf.saved_model.contains_saved_model(folder):
        found = f"in the cache {folder}" if is_url else f"which {found_at(folder)}"
        raise ValueError(
            "handle must be a module's URL, a folder with its saved_model.pb, or a loaded module. "
            f"Received: handle={handle!r}, {found}, where no saved_model.pb is. If a saved model "
            "is being loaded whose module has moved, load it inside: with "
            f"HubLayer.trusted({{{handle!r}: 'its/new/folder'}}): ..."
        )
    if tf.io.gfile.exists(os.path.join(folder, "tfhub_module.pb")):
        raise ValueError(
            f"handle must name a TF2 SavedModel. Received: handle={handle!r}, a module in the TF1 "
            "Hub format, which Keras 3 cannot train or export. Take a later version of the module."
        )
    return folder


def load_module(folder):
    """Loads a SavedModel, with tensorflow_text's operations if it needs them.

    Raises:
        ImportError: If the module needs these operations, and tensorflow_text cannot be imported.
        ValueError: If the module cannot be loaded.
    """
    try:
        with errors_that_name(folder, "It may need another version of TensorFlow."):
            return _load(plain_path(folder), folder)
    except ValueError as error:
        damage = damaged_file(plain_path(folder))
        if damage is None:
            raise
        is_cached = pathlib.Path(folder).absolute().is_relative_to(os.path.abspath(_cache()))
        remedy = "remove it, and it is downloaded again" if is_cached else "take another copy of it"
        raise ValueError(
            f"The SavedModel in {printable(folder)} must be whole: {remedy}. Received: {damage}."
        ) from error


def _load(path, folder):
    try:
        return tf.saved_model.load(path)
    except Exception as error:
        if "Op type not registered" not in str(error):
            raise
        missing = str(error).split(" in binary")[0]
    try:
        import_module("tensorflow_text")  # It registers its operations.
    except ImportError as error:
        raise ImportError(f"The module in {folder} cannot be loaded: {missing}. {error}") from error
    return tf.saved_model.load(path)


def _resolve(url):
    _check_cache()
    try:
        import tensorflow_hub
    except ImportError as error:
        if os.path.isdir(_cache_folder(url)):
            return _cache_folder(url)
        raise ImportError(
            f"Modules are downloaded by tensorflow_hub, which cannot be imported ({error}): "
            'pip install tensorflow-hub "setuptools<82". '
            f"Received: handle={url!r}. {_without_network(url)}"
        ) from error
    try:
        with _default_timeout(_TIMEOUT_S), _named_cache():
            return tensorflow_hub.resolve(url)
    except (OSError, tf.errors.OpError) as error:
        raise OSError(
            f"The module cannot be downloaded ({error}). Received: handle={url!r}. "
            + _without_network(url)
        ) from error


def _cache_folder(url):
    return os.path.join(_cache(), hashlib.sha1(url.encode()).hexdigest())


def _cache():
    chosen = os.environ.get("TFHUB_CACHE_DIR")
    if chosen:
        return chosen
    home = os.environ.get("XDG_CACHE_HOME", "")
    caches = home if os.path.isabs(home) else os.path.join(pathlib.Path.home(), ".cache")
    return os.path.join(caches, "keras_distill", "tfhub_modules")


def _check_cache():
    """Raises `PermissionError` if other users can put modules, which are programs, there."""
    cache = _cache()
    if not os.path.isdir(cache) or not hasattr(os, "getuid"):
        return
    found = os.stat(cache)
    is_chosen = bool(os.environ.get("TFHUB_CACHE_DIR"))
    is_others = found.st_uid not in (os.getuid(), 0) and not is_chosen
    if is_others or found.st_mode & stat.S_IWOTH:
        raise PermissionError(
            "The cache of TF-Hub modules must be a folder into which no other user can write: a "
            f"module is a program. Received: {cache}, of user {found.st_uid}, with the mode "
            f"{stat.filemode(found.st_mode)}. Give $TFHUB_CACHE_DIR a folder of your own."
        )


@contextlib.contextmanager
def _named_cache():
    """A context in which tensorflow_hub uses the same cache."""
    if os.environ.get("TFHUB_CACHE_DIR"):
        yield
        return
    os.makedirs(_cache(), mode=0o700, exist_ok=True)
    os.environ["TFHUB_CACHE_DIR"] = _cache()
    try:
        yield
    finally:
        del os.environ["TFHUB_CACHE_DIR"]


def _without_network(url):
    return (
        "Without a network, give a local folder as the handle, or unpack the module's archive into "
        f"its folder in the cache, {_cache_folder(url)} ($TFHUB_CACHE_DIR, and in it the SHA-1 of "
        "this handle)."
    )


@contextlib.contextmanager
def _default_timeout(seconds):
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(before or seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
