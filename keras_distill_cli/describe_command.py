"""keras-distill describe: what a model file or a folder contains."""

TITLE = "Show what a model file or a folder contains, and run nothing."
EXAMPLE = "keras-distill describe student.tflite"


def add_options(command):
    command.add_argument(
        "path",
        metavar="PATH",
        help="A .tflite file, or a folder: of a job, of a store, of a SavedModel or its versions.",
    )
    command.set_defaults(run=_run, show=lambda result: result["text"])


def _run(options):
    import dataclasses

    import keras_distill as kd

    description = kd.describe(options.path)
    fields = dataclasses.asdict(description)
    return {**fields, "path": str(description.path), "text": str(description)}
