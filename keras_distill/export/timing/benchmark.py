"""Measures latency and memory of a TFLite file or a SavedModel on this machine."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np

from keras_distill._arguments.checks import check_at_least
from keras_distill._arguments.checks import check_integer
from keras_distill._arguments.checks import check_num_threads
from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at
from keras_distill._files.plain_path import plain_path
from keras_distill._files.plain_path import temporary_folder
from keras_distill.export.child_process import how_it_ended
from keras_distill.export.child_process import was_late
from keras_distill.export.child_script import without_objects
from keras_distill.export.tflite import untrusted_file
from keras_distill.export.timing import benchmark_process


@dataclasses.dataclass(frozen=True)
class LatencyReport:
    """The measurements of `benchmark`.

    Args:
        median_ms, p95_ms, min_ms: Time of one run with all inputs set, in milliseconds.
        num_runs: Number of runs measured.
        load_ms: Time to read and prepare the model, in milliseconds.
        memory_bytes: Growth of the process's memory from before the model was read to its
            peak; None outside of Linux, where there is no /proc.
        num_threads: Number of threads.
        xnnpack: Whether XNNPACK ran the operations that it supports; False for a SavedModel.
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
    """Measures the latency of a model on this machine, in a separate process.

    Args:
        path: A TFLite file, run by LiteRT, or the folder of a SavedModel, whose
            `serving_default` is run by TensorFlow. A SavedModel can run code: use only models
            that you trust.
        num_threads: Number of threads. Defaults to 1.
        xnnpack: Whether the XNNPACK delegate, fast kernels for CPUs, runs the operations that
            it supports. Defaults to True, as in apps.
        inputs: One batch of inputs by name, as arrays of the model's shapes and dtypes. None
            means zeros and empty texts, with a size of 1 for open dimensions. If a model has
            loops or sparse computations, zeros take another time than real inputs.
        num_runs: Smallest number of runs. Defaults to 50.
        min_seconds: Shortest time of all runs together. Defaults to 0.5.

    Returns:
        A `LatencyReport`.

    Raises:
        FileNotFoundError: If there is no such file, or no SavedModel in the folder.
        ValueError: If an argument does not fit.
        RuntimeError: If the model does not run, with its runtime's message, or does not end: if
            loading or a run takes 600 seconds.

    Example:

    ```python
    report = kd.benchmark("student.tflite", num_threads=2)
    print(report.median_ms, report.p95_ms, report.memory_bytes)
    ```

    LiteRT's own benchmark tool draws random ids, which are outside of most vocabularies, and
    then stops; so this function times runs of the interpreter.
    """
    path = pathlib.Path(path)
    if path.is_file():
        untrusted_file.check_tflite_file(path)
    elif not (path / "saved_model.pb").is_file():
        found = "is a folder without" if path.is_dir() else found_at(path)
        raise FileNotFoundError(
            "path must be a TFLite file, or a folder with a saved_model.pb. Received: "
            f"{printable(path)}, which {found}."
        )
    num_threads = check_num_threads("num_threads", num_threads)
    num_runs = check_integer("num_runs", num_runs)
    min_seconds = check_at_least("min_seconds", min_seconds)
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
            "max_seconds": untrusted_file.MAX_SECONDS,
        }
        # With -P, our files next to the script cannot shadow other packages.
        process = subprocess.run(
            [sys.executable, "-P", benchmark_process.__file__],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            errors="replace",
        )
    if was_late(process.stderr.splitlines()):
        raise RuntimeError(untrusted_file.late(path, untrusted_file.MAX_SECONDS))
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
