"""Costs of a model: parameters, operations, bytes, time, memory."""

import dataclasses

from keras_distill._arguments.checks import check_integers


@dataclasses.dataclass(frozen=True)
class Cost:
    """Costs of one example on this machine's CPU. Missing figures are None.

    Args:
        num_parameters: Number of weights.
        num_flops: Floating-point operations, without a tokenizer's.
        num_bytes: Size of the file or the folder; for a Keras model, of its weights.
        median_ms, p95_ms: Dicts by number of threads. A Keras model is timed as a SavedModel.
        memory_bytes: Growth of a process that loads and runs the model, on one thread.
    """

    num_parameters: int | None
    num_flops: int | None
    num_bytes: int | None
    median_ms: dict
    p95_ms: dict
    memory_bytes: int | None


def check_threads(num_threads):
    """Raises `ValueError` unless these are numbers of threads; the list may be empty."""
    if not isinstance(num_threads, (list, tuple)):
        raise ValueError(
            f"num_threads must be a tuple, such as (1, 2), or (). Received: {num_threads!r}"
        )
    for count in num_threads:
        check_integers(num_threads=count)


def measure_costs(source, x, num_threads):
    """Measures a model on one example.

    Args:
        source: The result of `open_source`.
        x: The inputs of one example, with a batch axis.
        num_threads: Numbers of threads to time the model on; if empty, it is not timed.
    """
    latencies = (source.latencies(x, num_threads) if num_threads else None) or {}
    return Cost(
        num_parameters=source.num_parameters,
        num_flops=source.num_flops(x),
        num_bytes=source.num_bytes,
        median_ms={count: report.median_ms for count, report in latencies.items()},
        p95_ms={count: report.p95_ms for count, report in latencies.items()},
        memory_bytes=next((report.memory_bytes for report in latencies.values()), None),
    )
