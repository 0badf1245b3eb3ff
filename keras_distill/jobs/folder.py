"""The folder of a job: of which job it is, and what of it is done."""

import contextlib
import dataclasses
import json

import filelock

from keras_distill.destination import check_destination
from keras_distill.destination import remove_hidden_folders
from keras_distill.destination import replaced_file

_FILE, _LOCK = "job.json", ".lock"


# What does not matter to what is trained: where files are, and what is done behind it.
_FREE = ("output", "train", "test", "unlabelled", "quantization", "num_threads")


def settings_of(job, data):
    """What the results of a job depend on, as JSON has it.

    Args:
        job: A dataclass.
        data: Fingerprints of what was read: files may move.
    """
    settings = {n: value for n, value in dataclasses.asdict(job).items() if n not in _FREE}
    return {**json.loads(json.dumps(settings, default=str)), "data": data}


class JobFolder:
    """Lets a job that was stopped go on, and keeps other jobs out.

    Args:
        path: The folder, a `pathlib.Path`.
        settings: What `settings_of` returned.

    Raises:
        ValueError: If the folder holds something else, or a job with other settings.
    """

    def __init__(self, path, settings):
        check_destination("output", path, "folder")
        self.path = path
        self._settings = settings
        self._check()

    @contextlib.contextmanager
    def begun(self):
        """A context in which this process alone works in the folder.

        Writes the settings, and removes what a killed run left.

        Raises:
            ValueError: If another process works there.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(self.path / _LOCK, blocking=False):
                remove_hidden_folders(self.path)
                with replaced_file(self.path / _FILE) as written:
                    text = json.dumps(self._settings, indent=2) + "\n"
                    written.write_text(text, encoding="utf-8")
                yield
        except filelock.Timeout:
            raise ValueError(
                "output must be a folder that no other job works in just now. Received: "
                f"{self.path}. Wait until it is done, or give another folder."
            ) from None

    def has(self, name):
        """Whether a result is there; each appears in one step, whole."""
        return (self.path / name).exists()

    def _check(self):
        # Killed right at its beginning, a job leaves hidden files only.
        found = self.path.iterdir() if self.path.exists() else ()
        if all(file.name.startswith(".") for file in found):
            return
        if not (self.path / _FILE).is_file():
            raise ValueError(
                "output must be a new folder, or that of a job to go on with. Received: "
                f"{self.path}, which holds other files. Give another folder."
            )
        found = json.loads((self.path / _FILE).read_text(encoding="utf-8"))
        differ = [name for name in self._settings if found.get(name) != self._settings[name]]
        if differ:
            lines = [f"{n}: {found.get(n)!r} there, {self._settings[n]!r} now" for n in differ]
            raise ValueError(
                f"output is the folder of another job. Received: {self.path}, with "
                f"{'; '.join(lines)}. Give another folder, or remove this one."
            )
