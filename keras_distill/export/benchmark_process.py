"""The process that times a TFLite file: its memory is the file's and the runtime's alone.

Run as a script with a request as JSON on its standard input; it answers with a line. It
imports LiteRT and NumPy only.
"""

import json
import os
import sys
import time


def measure(path, num_threads, xnnpack, num_runs, min_seconds, inputs):
    """Times single runs of a file.

    Args:
        path: The file.
        num_threads: Number of threads.
        xnnpack: Whether the XNNPACK delegate runs what it can.
        num_runs: Least number of runs.
        min_seconds: Least time that the runs take together.
        inputs: An .npz file with one batch of inputs by name; None for zeros.

    Returns:
        A dict: ms of each run, ms to load the file, KiB of memory from
        before to the peak (None where the system does not tell).
    """
    import numpy as np
    from ai_edge_litert import interpreter as litert

    resolvers = litert.OpResolverType
    before = _memory_kib("VmRSS")
    start = time.perf_counter()
    interpreter = litert.Interpreter(
        model_path=path,
        num_threads=num_threads,
        experimental_op_resolver_type=(
            resolvers.AUTO if xnnpack else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    interpreter.allocate_tensors()
    load_ms = 1000 * (time.perf_counter() - start)
    given = {}
    if inputs is not None:
        with np.load(inputs) as arrays:
            given = dict(arrays)
    details = interpreter.get_signature_runner().get_input_details()
    if unknown := sorted(set(given) - set(details)):
        raise ValueError(f"inputs must have names of {sorted(details)}. Received: {unknown}")
    for name, detail in details.items():
        values = given.get(name, np.zeros(detail["shape"], detail["dtype"]))
        interpreter.set_tensor(detail["index"], values)
    run_ms, seconds = [], 0.0
    # The first runs pack weights and fill caches.
    for _ in range(3):
        interpreter.invoke()
    while len(run_ms) < num_runs or seconds < min_seconds:
        start = time.perf_counter()
        interpreter.invoke()
        run_ms.append(1000 * (time.perf_counter() - start))
        seconds += run_ms[-1] / 1000
    grown = None if before is None else _memory_kib("VmHWM") - before
    return {"run_ms": run_ms, "load_ms": load_ms, "memory_kib": grown}


def _memory_kib(name):
    # Not getrusage: its peak is that of the process which started this one.
    try:
        with open("/proc/self/status") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    (line,) = (line for line in lines if line.startswith(name))
    return int(line.split()[1])


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps(measure(**json.load(sys.stdin))), file=answers, flush=True)


if __name__ == "__main__":
    main()
