"""The process that times a model, so that only model and runtime use its memory.

It is run as a script with a request as JSON on its standard input, and answers with a line. It
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
        xnnpack: Whether the XNNPACK delegate runs the operations of a file that it supports.
        num_runs: Smallest number of runs.
        min_seconds: Shortest time that the runs take together.
        inputs: An .npz file with one batch of inputs by name; None for zeros.
        max_seconds: This process ends itself if loading, or a run, takes longer.

    Returns:
        A dict: milliseconds of each run and of loading, and the growth of memory from before
        to the peak in KiB (None if the system does not report it).
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
    # The first runs are not timed, because they pack weights and fill caches.
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
            # A file from an older converter has no signature, but names of tensors.
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
    """As `_import_litert`, for SavedModels."""
    import tensorflow as tf

    # Models that read texts may need the operations of tensorflow_text.
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
                # numpy() waits for the outputs; the module must stay, as it owns the variables.
                for output in signature(**inputs).values():
                    output.numpy()
                return module

            return run

        return specs, make_run

    return load


def _tensor(spec, values):
    """A tensor for a signature; zeros if no values are given."""
    import tensorflow as tf

    if values is None:
        return tf.zeros([size or 1 for size in spec.shape], spec.dtype)
    return tf.constant(values) if spec.dtype == tf.string else tf.cast(values, spec.dtype)


def _memory_kib(name):
    # getrusage would give the peak of the process that started this one.
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
