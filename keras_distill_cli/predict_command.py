"""keras-distill predict: classify texts or pictures with a trained model."""

from keras_distill_cli.options import add_class_names
from keras_distill_cli.options import add_trust

TITLE = "Classify texts or pictures with a trained model."
EXAMPLE = 'keras-distill predict out/student.tflite "where is my card"'
_WIDTH = 76


def add_options(command):
    command.add_argument(
        "model",
        metavar="MODEL",
        help="A .tflite or .keras file, the folder of a SavedModel, or the folder of a job, which "
        "means its student.tflite. A SavedModel can run code.",
    )
    command.add_argument(
        "examples",
        nargs="*",
        metavar="INPUT",
        help="Texts, or paths of pictures if the model reads pictures. Without one, or with -, "
        "each line of standard input is one.",
    )
    command.add_argument(
        "--top",
        type=int,
        default=3,
        metavar="N",
        help="The number of classes to show, the most probable first. Default: 3.",
    )
    add_class_names(
        command,
        "All classes, in the order of the model's outputs. Default: the names in the model.",
    )
    command.add_argument(
        "--vocabulary",
        metavar="FILE",
        help="The tokenizer of a .keras file that reads ids: the .tflite file of the same job, or "
        "a BERT's vocab.txt. Default: the tokenizer in the .tflite file, or in student.tflite "
        "beside the .keras file.",
    )
    command.add_argument(
        "--mean-std",
        type=float,
        nargs=2,
        metavar=("MEAN", "STD"),
        help="The model reads (pixel - MEAN) / STD of pixels from 0 to 255. Default: what the "
        ".tflite file says, else the pixels themselves.",
    )
    outputs = command.add_mutually_exclusive_group()
    for option, value in (("logits", True), ("probabilities", False)):
        outputs.add_argument(
            f"--{option}",
            dest="from_logits",
            action="store_const",
            const=value,
            help=f"The model's outputs are {option}. Default: what its last layer shows.",
        )
    add_trust(command)
    command.set_defaults(run=_run, show=_show)


def _run(options):
    from keras_distill.jobs.prediction import predict

    examples = options.examples
    if examples in ([], ["-"]):
        examples = _read_lines()
    answers = predict(
        options.model,
        examples,
        top=options.top,
        class_names=options.class_names,
        vocabulary=options.vocabulary,
        mean_std=options.mean_std,
        from_logits=options.from_logits,
    )
    return [
        {
            "input": example,
            "classes": [{"name": name, "probability": share} for name, share in classes],
        }
        for example, classes in zip(examples, answers)
    ]


def _read_lines():
    import sys

    from keras_distill.text import read_lines

    if sys.stdin.isatty():
        print("Write one text or path on each line, and end with Ctrl-D.", file=sys.stderr)
    # Like files, the input is UTF-8, whatever the terminal's encoding is.
    return read_lines("standard input", sys.stdin.buffer).texts.tolist()


def _show(results):
    width = max(len(found["name"]) for result in results for found in result["classes"])
    blocks = []
    for result in results:
        text = " ".join(result["input"].split())
        text = text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."
        lines = [
            f"  {found['name']:<{width}}  {100 * found['probability']:5.1f} %"
            for found in result["classes"]
        ]
        blocks.append("\n".join([text, *lines]))
    return "\n".join(blocks)
