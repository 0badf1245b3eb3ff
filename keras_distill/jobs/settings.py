"""What the results of a job depend on."""

import dataclasses
import json

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
