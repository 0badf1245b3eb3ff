"""Options of the commands that run a job."""

import argparse

from keras_distill_cli.options import add_class_names
from keras_distill_cli.options import add_number
from keras_distill_cli.options import add_threads


def add_unlabelled(command, kind, metavar):
    """Adds --unlabelled, which may also be spelled as in the USA."""
    settings = {"dest": "unlabelled", "nargs": "+", "metavar": metavar}
    command.add_argument("--unlabelled", default=[], help=kind, **settings)
    command.add_argument(
        "--unlabeled", default=argparse.SUPPRESS, help=argparse.SUPPRESS, **settings
    )


def add_job_options(command, kind, *, quantization, num_steps, temperature):
    """Adds the options of both kinds of jobs.

    Args:
        command: The parser of the command.
        kind: What the job reads: "texts" or "images".
        quantization, num_steps, temperature: The defaults, num_steps in words.
    """
    command.add_argument(
        "--output", required=True, metavar="FOLDER", help="The folder for all results."
    )
    command.add_argument(
        "--test",
        help="Test data in the same form as TRAIN. Default: a fifth of TRAIN (see --test-rate).",
    )
    command.add_argument(
        "--quantization",
        default=quantization,
        metavar="MODE",
        help="How the phone's file stores numbers: none, float16, dynamic, int8, int16x8 or "
        "int4. Default: %(default)s.",
    )
    add_number(command, "teacher_epochs", f"Epochs of the teacher over the labelled {kind}", 5)
    command.add_argument(
        "--num-steps",
        type=int,
        metavar="N",
        help=f"Training steps of each student, with 64 {kind} each. Default: {num_steps}.",
    )
    add_number(command, "seed", "Seed of all random numbers", 0)
    add_number(
        command,
        "alpha",
        "Weight of the labels, from 0 to 1. The teacher's answers have the rest",
        0.1,
        float,
    )
    add_number(
        command,
        "temperature",
        "Temperature of the softmax: more than 1 softens the teacher's answers",
        temperature,
        float,
    )
    add_number(
        command, "test_rate", "Share of TRAIN for the test if --test is not given", 0.2, float
    )
    add_threads(command, [1])
    add_class_names(
        command,
        "All classes of a ready teacher that does not name them, in the order of its outputs. "
        "Default: the order of the data's classes.",
    )
    command.add_argument(
        "--verbose",
        action="store_true",
        help="Show Keras's epochs and all figures, and time all models. Default: a line for each "
        "stage, the answer in words, and the times of the files that ship.",
    )
    command.add_argument(
        "--dry-run",
        action="store_true",
        help="Check everything and show what the job would do, with sizes and times. Write "
        "nothing.",
    )


def run_job(kind, options):
    """Runs a job, a class of `keras_distill.jobs`, with the options that are settings of it."""
    import dataclasses

    names = {field.name for field in dataclasses.fields(kind)}
    settings = {name: value for name, value in vars(options).items() if name in names}
    # Lists become tuples, as a program would give them.
    job = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
    return job.dry_run() if options.dry_run else job.run()
