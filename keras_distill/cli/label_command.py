"""keras-distill label: store a teacher's answers to texts."""

import pathlib

import keras_distill as kd
from keras_distill._files.destination import check_destination
from keras_distill.cli.options import add_trust
from keras_distill.jobs.teacher_file import load_teacher
from keras_distill.jobs.texts.text_data import read_unlabelled

TITLE = "store a teacher's answers to texts"
EXAMPLE = "keras-distill label texts.txt --teacher teacher.keras --output answers"


def add_options(command):
    add_trust(command)
    command.add_argument("data", help="texts: a table, or a file with one on a line; -: stdin")
    command.add_argument("--teacher", required=True, help="a .keras file that reads texts")
    command.add_argument("--output", required=True, help="the store's folder")
    command.add_argument("--text", default="text", help="column; default: %(default)s")
    command.set_defaults(run=_run, show=lambda r: f"{r['num_examples']:,} answers, {r['path']}")


def _run(options):
    check_destination("output", pathlib.Path(options.output), "folder")
    examples = read_unlabelled(options.data, options.text)
    teacher = load_teacher(options.teacher, "a .keras file of a model that reads texts")
    dtypes = [tensor.dtype for tensor in getattr(teacher, "inputs", None) or []]
    if dtypes and dtypes != ["string"]:
        raise ValueError(
            f"teacher must be a model that reads texts. Received: {options.teacher}, which reads "
            f"{', '.join(dtypes)}. Put its preprocessor in front of it."
        )
    store = kd.TeacherStore.build(examples, teacher, options.output)
    return {"path": options.output, "num_examples": len(store)}
