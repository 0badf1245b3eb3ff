"""The folder of a run that can be resumed: its lock, its settings, its finished results."""

import contextlib
import json
import re

import filelock

from keras_distill._arguments.printable import one_line
from keras_distill._files.destination import check_destination
from keras_distill._files.destination import remove_hidden_folders
from keras_distill._files.destination import replaced_file
from keras_distill._files.json_files import read_json_object

_FINGERPRINT = re.compile("[0-9a-f]{32}")


@contextlib.contextmanager
def only_process(path, message):
    """A context in which only this process works in a folder.

    The folder is made; hidden folders that a killed process has left there are removed.

    Args:
        path: The folder, a `pathlib.Path`.
        message: A sentence for the error, which says which folder the argument must be.

    Raises:
        ValueError: If another process works there.
    """
    path.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(path / ".lock", blocking=False):
            remove_hidden_folders(path)
            yield
    except filelock.Timeout:
        raise ValueError(
            f"{message} Received: {path}. Wait until it is done, or give another folder."
        ) from None


class RunFolder:
    """Lets an interrupted run be resumed, and refuses other runs.

    Args:
        argument: Name of the argument with the folder, for the errors.
        path: The folder, a `pathlib.Path`.
        kind: Name of such a run in errors; KIND.json contains its settings.
        settings: JSON-compatible dict of everything that the results depend on.

    Raises:
        ValueError: If the folder contains something else, or a run with other settings.
    """

    def __init__(self, argument, path, kind, settings):
        check_destination(argument, path, "folder")
        self.path = path
        self._argument = argument
        self._kind = kind
        self._file = path / f"{kind}.json"
        self._settings = settings
        self._check()

    @contextlib.contextmanager
    def begun(self):
        """A context in which only this process works in the folder.

        It writes the settings, and removes files that a killed run has left.

        Raises:
            ValueError: If another process works there.
        """
        message = f"{self._argument} must be a folder that no other {self._kind} works in just now."
        with only_process(self.path, message):
            with replaced_file(self._file) as written:
                text = json.dumps(self._settings, indent=2) + "\n"
                written.write_text(text, encoding="utf-8")
            yield

    def has(self, name):
        """Whether a result exists; each appears complete, in one step."""
        return (self.path / name).exists()

    def _check(self):
        # A run that was killed right at its beginning leaves only hidden files.
        found = self.path.iterdir() if self.path.exists() else ()
        if all(file.name.startswith(".") for file in found):
            return
        if not self._file.is_file():
            raise ValueError(
                f"{self._argument} must be a new folder, or that of a {self._kind} to go on with. "
                f"Received: {self.path}, which holds other files. Give another folder."
            )
        found = self._read()
        differ = [name for name in self._settings if found.get(name) != self._settings[name]]
        if differ:
            changes = [_change(n, found.get(n), self._settings[n]) for n in differ]
            raise ValueError(
                f"{self._argument} is the folder of another {self._kind}. Received: {self.path}, "
                f"where {'; '.join(changes)}. Give another folder, or remove this one."
            )

    def _read(self):
        try:
            return read_json_object(self._file)
        except ValueError as error:
            raise ValueError(
                f"{self._argument} must be the folder of a {self._kind} whose settings can be "
                f"read. Received: {error} Remove this folder, or give another one."
            ) from None


def _change(name, before, now):
    """What differs in a setting, in words; fingerprints say nothing to a reader."""
    if _FINGERPRINT.search(str(now)):
        return f"the {name} differs"
    return f"{name} was {_shown(before)}, is {_shown(now)}"


def _shown(value):
    return "not given" if value is None else one_line(value)[:200]
