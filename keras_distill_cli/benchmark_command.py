"""keras-distill benchmark: how fast a model runs on this machine."""

TITLE = "Measure how fast a model runs on this machine."
EXAMPLE = "keras-distill benchmark student.tflite --threads 1 2"


def add_options(command):
    command.add_argument(
        "path",
        metavar="PATH",
        help="A .tflite file, or the folder of a SavedModel. A SavedModel can run code.",
    )
    command.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=[1],
        metavar="N",
        help="Time the model on these numbers of threads. Default: 1.",
    )
    command.set_defaults(run=_run, show=_show_latencies)


def _run(options):
    import dataclasses

    import keras_distill as kd
    from keras_distill.evaluation.costs import check_threads

    check_threads(options.threads)
    return [
        dataclasses.asdict(kd.benchmark(options.path, num_threads=count))
        for count in options.threads
    ]


def _show_latencies(reports):
    return "\n".join(
        f"{report['num_threads']} thread{'s' if report['num_threads'] > 1 else ''}: median "
        f"{report['median_ms']:.3g} ms, p95 {report['p95_ms']:.3g} ms, to load "
        f"{report['load_ms']:.3g} ms, {report['memory_bytes'] or 0:,} bytes of memory"
        for report in reports
    )
