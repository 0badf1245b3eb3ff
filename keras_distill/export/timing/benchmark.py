"""How fast a TFLite file or a SavedModel runs here, and with how much memory."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np

from keras_distill._arguments.checks import check_integers
from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at
from keras_distill._files.plain_path import plain_path
from keras_distill._files.plain_path import temporary_folder
from keras_distill.export.child_process import how_it_ended
from keras_distill.export.child_process import was_late
from keras_distill.export.child_script import without_objects
from keras_distill.export.tflite import litert_file
from keras_distill.export.timing import benchmark_process


@dataclasses.dataclass(frozen=True)
class LatencyReport:
    """What `benchmark` measured.

    Args:
        median_ms, p95_ms, min_ms: Of one run, all inputs set.
        num_runs: Number of runs measured.
        load_ms: To read the model and get it ready.
        memory_bytes: What the process grew by, from before the model was read to its peak;
            None where there is no /proc, outside of Linux.
        num_threads: Number of threads.
        xnnpack: Whether XNNPACK ran what it can; False for a SavedModel.
    """

    median_ms: float
    p95_ms: float
    min_ms: float
    num_runs: int
    load_ms: float
    memory_bytes: int | None
    num_threads: int
    xnnpack: bool


def benchmark(path, *, num_threads=1, xnnpack=True, inputs=None, num_runs=50, min_seconds=0.5):
    """Times a model on this machine, in a process of its own.

    Args:
        path: A TFLite file, run by LiteRT, or the folder of a SavedModel, whose
            `serving_default` is run by TensorFlow. A SavedModel can run code of its own: time
            those that you trust.
        num_threads: Number of threads. Defaults to 1.
        xnnpack: Whether the XNNPACK delegate, fast kernels for CPUs, runs what it can.
            Defaults to True, as in apps.
        inputs: One batch of inputs by name, as arrays of the model's shapes and dtypes;
            None for zeros and empty texts, with sizes of 1 where they are open. A model with a
            loop or sparse work takes other times on zeros.
        num_runs: Least number of runs. Defaults to 50.
        min_seconds: Least time of all runs. Defaults to 0.5.

    Returns:
        A `LatencyReport`.

    Raises:
        FileNotFoundError: If there is no such file, or no SavedModel in the folder.
        ValueError: If an argument does not fit.
        RuntimeError: If the model does not run, with what its runtime says, or does not end: if
            it takes 600 seconds to load, or for one run.

    Example:

    ```python
    report = kd.benchmark("student.tflite", num_threads=2)
    print(report.median_ms, report.p95_ms, report.memory_bytes)
    ```

    LiteRT's own benchmark tool draws random ids, which are outside of most vocabularies, and
    then stops; so the runs here are those of its interpreter.
    """
    path = pathlib.Path(path)
    if path.is_file():
        litert_file.check_tflite_file(path)
    elif not (path / "saved_model.pb").is_file():
        found = "is a folder without" if path.is_dir() else found_at(path)
        raise FileNotFoundError(
            "path must be a TFLite file, or a folder with a saved_model.pb. Received: "
            f"{printable(path)}, which {found}."
        )
    check_integers(num_threads=num_threads, num_runs=num_runs)
    with temporary_folder() as folder:
        arrays = None
        if inputs is not None:
            arrays = str(pathlib.Path(folder) / "inputs.npz")
            np.savez(arrays, **{name: without_objects(v) for name, v in inputs.items()})
        request = {
            "path": str(path) if path.is_file() else plain_path(path),
            "num_threads": num_threads,
            "xnnpack": bool(xnnpack),
            "num_runs": num_runs,
            "min_seconds": min_seconds,
            "inputs": arrays,
            "max_seconds": litert_file.MAX_SECONDS,
        }
        # -P: our files beside the script must not be found in place of other packages.
        process = subprocess.run(
            [sys.executable, "-P", benchmark_process.__file__],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            errors="replace",
        )
    if was_late(process.stderr.splitlines()):
        raise RuntimeError(litert_file.late(path, litert_file.MAX_SECONDS))
    said = one_line(process.stderr.strip()[-500:])
    if process.returncode < 0:
        raise RuntimeError(
            f"{path} ends the process that runs it ({how_it_ended(process.returncode)}): the file "
            f"is damaged, made to do that, or too large for the memory. It said last: {said}"
        )
    if process.returncode:
        raise RuntimeError(f"{path} does not run with these inputs: {said}")
    measured = json.loads(process.stdout)
    run_ms, memory_kib = measured["run_ms"], measured["memory_kib"]
    return LatencyReport(
        median_ms=float(np.median(run_ms)),
        p95_ms=float(np.percentile(run_ms, 95)),
        min_ms=min(run_ms),
        num_runs=len(run_ms),
        load_ms=measured["load_ms"],
        memory_bytes=None if memory_kib is None else 1024 * memory_kib,
        num_threads=num_threads,
        xnnpack=bool(xnnpack) and path.is_file(),
    )
