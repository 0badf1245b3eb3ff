"""The folder of a job: of which job it is, and what of it is done."""

import json

from keras_distill.destination import check_destination
from keras_distill.destination import remove_hidden_folders
from keras_distill.destination import replaced_file

_FILE = "job.json"


class JobFolder:
    """Lets a job that was stopped go on, and keeps other jobs out.

    Args:
        path: The folder, a `pathlib.Path`.
        settings: Dict that JSON can hold: what the job's results depend on.

    Raises:
        ValueError: If the folder holds something else, or a job with other settings.
    """

    def __init__(self, path, settings):
        check_destination("output", path, "folder")
        self.path = path
        self._settings = json.loads(json.dumps(settings))
        self._check()

    def begin(self):
        """Writes the settings, and removes what a killed run left."""
        self.path.mkdir(parents=True, exist_ok=True)
        remove_hidden_folders(self.path)
        with replaced_file(self.path / _FILE) as written:
            written.write_text(json.dumps(self._settings, indent=2) + "\n", encoding="utf-8")

    def has(self, name):
        """Whether a result is there; each appears in one step, whole."""
        return (self.path / name).exists()

    def _check(self):
        if not self.path.exists() or not any(self.path.iterdir()):
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
