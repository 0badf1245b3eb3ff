"""The settings on which the results of a job depend."""

import dataclasses
import json

# These settings do not affect the training: places of files, and later stages.
_FREE = ("output", "train", "test", "unlabelled", "quantization", "num_threads")


def settings_of(job, data):
    """The settings on which the results of a job depend, as a JSON-compatible dict.

    Args:
        job: A dataclass.
        data: Fingerprints of the data; they replace paths, because files may move.
    """
    settings = {n: value for n, value in dataclasses.asdict(job).items() if n not in _FREE}
    return {**json.loads(json.dumps(settings, default=str)), "data": data}
