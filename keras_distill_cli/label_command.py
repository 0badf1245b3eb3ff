"""keras-distill label: store a teacher's answers to texts."""

from keras_distill_cli.options import add_text_column
from keras_distill_cli.options import add_trust

TITLE = "Run a teacher over texts and store its answers."
EXAMPLE = "keras-distill label texts.txt --teacher teacher.keras --output answers"


def add_options(command):
    command.add_argument(
        "data",
        metavar="DATA",
        help="The texts: a .csv, .tsv or .jsonl table, or another file with a text on each line. "
        "- is standard input.",
    )
    command.add_argument(
        "--teacher",
        required=True,
        metavar="FILE",
        help="A .keras file of a model that reads texts.",
    )
    command.add_argument(
        "--output", required=True, metavar="FOLDER", help="The folder for the answers."
    )
    add_text_column(command)
    add_trust(command)
    command.set_defaults(run=_run, show=lambda r: f"{r['num_examples']:,} answers, {r['path']}")


def _run(options):
    import pathlib

    import keras_distill as kd
    from keras_distill._files.destination import check_destination
    from keras_distill.jobs.teacher_file import load_teacher
    from keras_distill.jobs.texts.text_data import read_unlabelled

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
