"""Options of the commands that run a job."""

import dataclasses

from keras_distill.cli.options import add_number
from keras_distill.cli.options import add_threads


def add_job_options(command, defaults, kind):
    """Adds the options of both kinds of jobs."""
    command.add_argument("--output", required=True, help="folder for all that is written")
    command.add_argument("--test", help="like TRAIN; without it a part of TRAIN")
    command.add_argument(
        "--quantization", default=defaults["quantization"], help="default: %(default)s"
    )
    add_number(command, "teacher_epochs", f"rounds of the teacher over the {kind}", defaults)
    add_number(command, "num_steps", f"steps of each student; None: by the {kind}", defaults)
    add_number(command, "seed", "of all that is drawn", defaults)
    add_number(command, "alpha", "weight of the labels beside the teacher", defaults, float)
    add_number(command, "temperature", "softens the teacher's answers", defaults, float)
    add_number(command, "test_rate", "share of TRAIN to test on", defaults, float)
    add_threads(command)
    command.add_argument(
        "--classes",
        dest="class_names",
        nargs="+",
        metavar="NAME",
        help="of a ready teacher that does not name its classes: all, in the order of its outputs",
    )
    command.add_argument(
        "--dry-run", action="store_true", help="say what would be done, with sizes and times"
    )


def defaults_of(job):
    return {field.name: field.default for field in dataclasses.fields(job)}


def run_job(kind, options):
    settings = {name: value for name, value in vars(options).items() if name in defaults_of(kind)}
    # Lists become tuples, as a program would give them.
    job = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
    return job.dry_run() if options.dry_run else job.run()
