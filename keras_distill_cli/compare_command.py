"""keras-distill compare: put models side by side on a test set."""

from keras_distill_cli.options import add_class_names
from keras_distill_cli.options import add_label_column
from keras_distill_cli.options import add_text_column
from keras_distill_cli.options import add_threads
from keras_distill_cli.options import add_trust
from keras_distill_cli.options import read_npz

TITLE = "Compare models on a test set."
EXAMPLE = "keras-distill compare big=teacher.keras small=served/1 --data test.csv"


def add_options(command):
    command.add_argument(
        "models",
        nargs="+",
        metavar="NAME=MODEL",
        help="Models with names of your choice: .keras and .tflite files, folders of SavedModels "
        "or stores. A SavedModel can run code.",
    )
    command.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help="The test data: a .csv, .tsv or .jsonl table of texts and labels, or an .npz file "
        "with x and y, classes as numbers or names.",
    )
    add_text_column(command)
    add_label_column(command)
    add_class_names(
        command,
        "All classes, in the order of the outputs of the models that do not name them. Default: "
        "the names in the models, or in the data.",
    )
    command.add_argument(
        "--task",
        choices=("classification", "regression"),
        help="What the models do: classification or regression. Default: what the labels and "
        "outputs show.",
    )
    for option in ("logits", "probabilities"):
        command.add_argument(
            f"--{option}",
            nargs="+",
            default=[],
            metavar="NAME",
            help=f"Models whose outputs are {option}. Default: what their last layers show.",
        )
    command.add_argument(
        "--teacher",
        metavar="NAME",
        help="The model that the others are compared with. Default: the model called teacher, if "
        "there is one.",
    )
    command.add_argument(
        "--baseline",
        metavar="NAME",
        help="The model that the others should beat. Default: the model called alone, if there is "
        "one.",
    )
    add_threads(command, [1, 2])
    command.add_argument("--html", metavar="FILE", help="Write a report as a web page, too.")
    add_trust(command)
    command.set_defaults(run=_run, show=lambda result: result["table"])


def _run(options):
    import json
    import pathlib

    import keras_distill as kd
    from keras_distill._files.destination import check_replaces_none
    from keras_distill.evaluation.report import check_page
    from keras_distill.jobs.images.npz import has_array
    from keras_distill.jobs.texts.text_data import read_labelled

    wrong = [text for text in options.models if "=" not in text]
    if wrong:
        raise ValueError(f"Models must be given as NAME=MODEL. Received: {', '.join(wrong)}")
    if both := set(options.logits) & set(options.probabilities):
        raise ValueError(
            f"--logits and --probabilities exclude each other. Received: {', '.join(sorted(both))}"
        )
    models = dict(text.split("=", 1) for text in options.models)
    if len(models) < len(options.models):
        raise ValueError(f"Models must have different names. Received: {options.models}")
    if unknown := {*options.logits, *options.probabilities} - set(models):
        raise ValueError(
            "--logits and --probabilities must name models. Received: "
            f"{', '.join(sorted(unknown))}; the models are {', '.join(models)}"
        )
    if options.html is not None:
        check_page("html", pathlib.Path(options.html))
        check_replaces_none("html", options.html, (options.data, *models.values()))
    if options.data.lower().endswith(".npz"):
        data = read_npz(options.data, ["x", "y"] if has_array(options.data, "y") else ["x"])
    else:
        data = read_labelled(options.data, options.text, options.label)
    comparison = kd.compare(
        models,
        data,
        teacher=options.teacher,
        baseline=options.baseline,
        class_names=options.class_names,
        task=options.task,
        from_logits={
            **dict.fromkeys(options.logits, True),
            **dict.fromkeys(options.probabilities, False),
        },
        num_threads=tuple(options.num_threads),
    )
    if options.html is not None:
        comparison.write_html(options.html)
    return {**json.loads(comparison.to_json()), "table": str(comparison)}
