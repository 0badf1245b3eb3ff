"""keras-distill describe: what a .tflite file, or a folder, is and holds."""

import dataclasses

import keras_distill as kd

TITLE = "what a .tflite file, or a folder, is and holds"
EXAMPLE = "keras-distill describe student.tflite"


def add_options(command):
    command.add_argument(
        "path", help="a .tflite file, or a folder: of a job, a store, a SavedModel or its versions"
    )
    command.set_defaults(run=_run, show=lambda result: result["text"])


def _run(options):
    description = kd.describe(options.path)
    fields = dataclasses.asdict(description)
    return {**fields, "path": str(description.path), "text": str(description)}
