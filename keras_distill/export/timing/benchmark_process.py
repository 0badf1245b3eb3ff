"""The process that times a model: its memory is the model's and the runtime's alone.

Run as a script with a request as JSON on its standard input; it answers with a line. It
imports NumPy, and LiteRT for a file or TensorFlow for a folder.
"""

import contextlib
import faulthandler
import json
import os
import sys
import time


def measure(path, num_threads, xnnpack, num_runs, min_seconds, inputs, max_seconds):
    """Times single runs of a TFLite file or a SavedModel.

    Args:
        path: The file, or the folder.
        num_threads: Number of threads.
        xnnpack: Whether the XNNPACK delegate runs what it can, of a file.
        num_runs: Least number of runs.
        min_seconds: Least time that the runs take together.
        inputs: An .npz file with one batch of inputs by name; None for zeros.
        max_seconds: This process ends itself if loading, or a run, takes longer.

    Returns:
        A dict: ms of each run, ms to load the model, KiB of memory from
        before to the peak (None where the system does not tell).
    """
    import numpy as np

    if os.path.isdir(path):
        load = _import_tensorflow(num_threads)
    else:
        load = _import_litert(num_threads, xnnpack)
    before = _memory_kib("VmRSS")
    start = time.perf_counter()
    faulthandler.dump_traceback_later(max_seconds, exit=True)
    names, make_run = load(path)
    load_ms = 1000 * (time.perf_counter() - start)
    given = {}
    if inputs is not None:
        with np.load(inputs) as arrays:
            given = dict(arrays)
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(f"inputs must have names of {sorted(names)}. Received: {unknown}")
    run = make_run(given)
    run_ms, seconds = [], 0.0
    # The first runs pack weights and fill caches.
    for _ in range(3):
        faulthandler.dump_traceback_later(max_seconds, exit=True)
        run()
    while len(run_ms) < num_runs or seconds < min_seconds:
        faulthandler.dump_traceback_later(max_seconds, exit=True)
        start = time.perf_counter()
        run()
        run_ms.append(1000 * (time.perf_counter() - start))
        seconds += run_ms[-1] / 1000
    faulthandler.cancel_dump_traceback_later()
    grown = None if before is None else _memory_kib("VmHWM") - before
    return {"run_ms": run_ms, "load_ms": load_ms, "memory_kib": grown}


def _import_litert(num_threads, xnnpack):
    """Returns a function from a path to names of inputs and a maker of runs."""
    import numpy as np
    from ai_edge_litert import interpreter as litert

    resolvers = litert.OpResolverType

    def load(path):
        interpreter = litert.Interpreter(
            model_path=path,
            num_threads=num_threads,
            experimental_op_resolver_type=(
                resolvers.AUTO if xnnpack else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            ),
        )
        interpreter.allocate_tensors()
        if interpreter.get_signature_list():
            details = interpreter.get_signature_runner().get_input_details()
        else:
            # Of an older converter: the names of its tensors.
            details = {detail["name"]: detail for detail in interpreter.get_input_details()}

        def make_run(given):
            for name, detail in details.items():
                if name in given and -1 in detail["shape_signature"]:
                    interpreter.resize_tensor_input(detail["index"], given[name].shape, True)
            interpreter.allocate_tensors()
            for name, detail in details.items():
                values = given.get(name, np.zeros(detail["shape"], detail["dtype"]))
                interpreter.set_tensor(detail["index"], values)
            return interpreter.invoke

        return details, make_run

    return load


def _import_tensorflow(num_threads):
    """The same for SavedModels."""
    import tensorflow as tf

    # Its operations, of models that read texts.
    with contextlib.suppress(ImportError):
        import tensorflow_text  # noqa: F401
    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    tf.config.threading.set_inter_op_parallelism_threads(num_threads)

    def load(path):
        module = tf.saved_model.load(path)
        signature = module.signatures["serving_default"]
        specs = signature.structured_input_signature[1]

        def make_run(given):
            inputs = {name: _tensor(spec, given.get(name)) for name, spec in specs.items()}

            def run():
                # The module owns the variables; what comes out has been computed.
                for output in signature(**inputs).values():
                    output.numpy()
                return module

            return run

        return specs, make_run

    return load


def _tensor(spec, values):
    """A tensor as a signature takes it; of values that are not given, zeros."""
    import tensorflow as tf

    if values is None:
        return tf.zeros([size or 1 for size in spec.shape], spec.dtype)
    return tf.constant(values) if spec.dtype == tf.string else tf.cast(values, spec.dtype)


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
