"""The command keras-distill: argparse over the public functions, without its own logic."""

import argparse
import contextlib
import dataclasses
import io
import json
import math
import os
import pathlib
import sys
import traceback
import warnings

import keras_distill as kd
from keras_distill._arguments.names import clean_name
from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable_lines
from keras_distill._files.destination import check_destination
from keras_distill._keras.model_files import load_model_file
from keras_distill.cli.command_advice import in_options
from keras_distill.cli.plain_output import PlainOutput
from keras_distill.evaluation.costs import check_threads
from keras_distill.evaluation.report import check_page
from keras_distill.export.saved_model.export import check_saved_model
from keras_distill.export.tflite.export import check_tflite
from keras_distill.jobs import ImageJob
from keras_distill.jobs import TextJob
from keras_distill.jobs.images.npz import has_array
from keras_distill.jobs.images.npz import read_arrays
from keras_distill.jobs.teacher_file import load_teacher
from keras_distill.jobs.texts.text_data import read_labelled
from keras_distill.jobs.texts.text_data import read_unlabelled
from keras_distill.text.vocabularies.base import read_tokens

_EXAMPLES = {
    "text": "keras-distill text reviews.csv --teacher bert_base_en_uncased --output out",
    "image": "keras-distill image photos --teacher EfficientNetV2B0 --output out",
    "label": "keras-distill label texts.txt --teacher teacher.keras --output answers",
    "export": "keras-distill export student.keras --tflite student.tflite --sequence-length 64",
    "compare": "keras-distill compare big=teacher.keras small=served/1 --data test.csv",
    "describe": "keras-distill describe student.tflite",
    "benchmark": "keras-distill benchmark student.tflite --threads 1 2",
}
_SUCCESS, _FAILURE, _INTERRUPTED = 0, 1, 130


def main(arguments=None):
    """Runs the command.

    Args:
        arguments: List of str; None means the arguments of the process.

    Returns:
        The exit code: 0 for success, 1 for an error, 130 for Ctrl-C; argparse exits with 2 for
        wrong options.
    """
    for stream in (sys.stdout, sys.stderr):
        # The terminal's encoding may lack letters of paths, classes and texts.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    # This is for child processes; TensorFlow's messages on import cannot be silenced here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    answers = sys.stdout
    try:
        trusted = kd.HubLayer.trusted(getattr(options, "trust", ()))
        with _progress(options), _plain_warnings(options), trusted:
            result = options.run(options)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:
        if options.debug:
            print(printable_lines(traceback.format_exc()), file=sys.stderr)
        print(f"Error: {in_options(_explain(error), options.names)}", file=sys.stderr)
        return _FAILURE
    text = json.dumps(result, indent=2) if options.json else printable_lines(options.show(result))
    print(text, file=answers)
    return _SUCCESS


def _parser():
    parser = argparse.ArgumentParser(
        prog="keras-distill",
        description="Trains a small Keras model from a large one, ships it, and proves it.",
        epilog="keras-distill COMMAND --help has an example of each.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_text(_command(commands, "text", "a whole job, from a table of texts to a phone's file"))
    _add_image(_command(commands, "image", "the same, from a folder of images for each class"))
    _add_label(_command(commands, "label", "store a teacher's answers to texts"))
    _add_export(_command(commands, "export", "write a model for phones or servers"))
    _add_compare(_command(commands, "compare", "put models side by side on a test set"))
    _add_describe(_command(commands, "describe", "what a .tflite file, or a folder, is and holds"))
    _add_benchmark(_command(commands, "benchmark", "how fast a model runs on this machine"))
    for command in commands.choices.values():
        command.set_defaults(names=_options_of(command))
    return parser


def _options_of(command):
    """The option of each setting; None for settings without an option."""
    return {action.dest: next(iter(action.option_strings), None) for action in command._actions}


def _command(commands, name, title):
    command = commands.add_parser(
        name, help=title, description=f"{title[0].upper()}{title[1:]}.", epilog=_EXAMPLES[name]
    )
    command.add_argument("--json", action="store_true", help="print the result as JSON alone")
    command.add_argument("--quiet", action="store_true", help="no progress, only the result")
    command.add_argument("--debug", action="store_true", help="show where an error comes from")
    return command


def _add_trust(command):
    command.add_argument(
        "--trust",
        nargs="+",
        default=[],
        metavar="MODULE",
        help="TF-Hub modules, handles or folders, that a .keras file may load: they can run code",
    )


def _add_text(command):
    _add_trust(command)
    defaults = _defaults(TextJob)
    command.add_argument("train", help="a .csv, .tsv or .jsonl file with texts and labels (or .gz)")
    command.add_argument(
        "--teacher",
        required=True,
        help="a KerasHub preset or folder, a Hugging Face folder, or a TF-Hub handle or folder, to "
        "be fine-tuned; a .keras file of a classifier that reads texts; or 'ensemble': three "
        "small models from scratch, without a download. TF-Hub modules can run code",
    )
    command.add_argument("--preprocessor", help="a TF-Hub teacher's preprocessor")
    command.add_argument(
        "--student",
        choices=("bilstm", "text_cnn", "transformer"),
        default=defaults["student"],
        help="default: %(default)s",
    )
    command.add_argument(
        "--unlabelled",
        nargs="+",
        default=[],
        metavar="FILE",
        help="more texts for the teacher to answer, one on a line; - is standard input",
    )
    command.add_argument("--text", default="text", help="column; default: %(default)s")
    command.add_argument("--label", default="label", help="column; default: %(default)s")
    command.add_argument(
        "--augment",
        dest="num_augmented",
        type=int,
        nargs="?",
        const=10,
        default=0,
        metavar="ROUNDS",
        help="make more texts, with words masked or replaced; 10 rounds if no number is given",
    )
    _add_number(command, "sequence_length", "words of a text", defaults)
    _add_number(command, "vocabulary_size", "words that the student knows", defaults)
    _add_job(command, defaults, "texts")
    command.set_defaults(
        run=lambda options: _run_job(TextJob, options), show=lambda result: result["summary"]
    )


def _add_image(command):
    _add_trust(command)
    defaults = _defaults(ImageJob)
    command.add_argument(
        "train",
        help="a folder with a folder of pictures for each class, or an .npz file with x, uint8 "
        "pixels, and y, classes as numbers, names or one-hot rows; -1: no label",
    )
    command.add_argument(
        "--teacher",
        required=True,
        help="a .keras or .h5 file of a classifier of pixels from 0 to 255, with an output for "
        "each class, or a network of keras.applications to be fine-tuned, such as EfficientNetV2B0",
    )
    command.add_argument(
        "--teacher-weights",
        default=defaults["teacher_weights"],
        help="imagenet, which downloads them, or a file; default: %(default)s",
    )
    command.add_argument(
        "--unlabelled",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="more images for the teacher to answer: folders, or .npz files with x",
    )
    command.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="size to scale to, as keras.utils.image_dataset_from_directory does; default: the "
        "teacher's, or, if it reads any, that of the images",
    )
    command.add_argument(
        "--augment",
        dest="num_views",
        type=int,
        nargs="?",
        const=8,
        default=0,
        metavar="VIEWS",
        help="mirror and shift the images; 8 views of each if no number is given",
    )
    _add_number(command, "width", "channels of the student's first layer", defaults)
    _add_job(command, defaults, "images")
    command.set_defaults(
        run=lambda options: _run_job(ImageJob, options), show=lambda result: result["summary"]
    )


def _add_job(command, defaults, kind):
    """Adds the options of both kinds of jobs."""
    command.add_argument("--output", required=True, help="folder for all that is written")
    command.add_argument("--test", help="like TRAIN; without it a part of TRAIN")
    command.add_argument(
        "--quantization", default=defaults["quantization"], help="default: %(default)s"
    )
    _add_number(command, "teacher_epochs", f"rounds of the teacher over the {kind}", defaults)
    _add_number(command, "num_steps", f"steps of each student; None: by the {kind}", defaults)
    _add_number(command, "seed", "of all that is drawn", defaults)
    _add_number(command, "alpha", "weight of the labels beside the teacher", defaults, float)
    _add_number(command, "temperature", "softens the teacher's answers", defaults, float)
    _add_number(command, "test_rate", "share of TRAIN to test on", defaults, float)
    _add_threads(command)
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


def _add_number(command, name, title, defaults, kind=int):
    command.add_argument(
        f"--{name.replace('_', '-')}",
        type=kind,
        default=defaults[name],
        help=f"{title}; default: %(default)s",
    )


def _add_threads(command):
    command.add_argument(
        "--threads",
        dest="num_threads",
        type=int,
        nargs="*",
        default=[1, 2],
        metavar="N",
        help="numbers of threads to time the models on; without a number they are not timed",
    )


def _defaults(job):
    return {field.name: field.default for field in dataclasses.fields(job)}


def _run_job(kind, options):
    settings = {name: value for name, value in vars(options).items() if name in _defaults(kind)}
    # Lists become tuples, as a program would give them.
    job = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
    return job.dry_run() if options.dry_run else job.run()


def _add_label(command):
    _add_trust(command)
    command.add_argument("data", help="texts: a table, or a file with one on a line; -: stdin")
    command.add_argument("--teacher", required=True, help="a .keras file that reads texts")
    command.add_argument("--output", required=True, help="the store's folder")
    command.add_argument("--text", default="text", help="column; default: %(default)s")
    command.set_defaults(
        run=_run_label, show=lambda r: f"{r['num_examples']:,} answers, {r['path']}"
    )


def _run_label(options):
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


def _add_export(command):
    _add_trust(command)
    command.add_argument("model", help="a .keras file")
    command.add_argument("--tflite", metavar="FILE", help="write a TFLite file")
    command.add_argument("--saved-model", metavar="FOLDER", help="write a SavedModel")
    command.add_argument("--quantization", default="none", help="default: %(default)s")
    command.add_argument(
        "--sequence-length",
        type=lambda text: text if text == "any" else int(text),
        metavar="N",
        help="for sizes that the model leaves open; 'any' leaves them open in the file, too",
    )
    command.add_argument("--data", metavar="FILE.npz", help="real inputs, an array x")
    command.add_argument(
        "--labels",
        dest="class_names",
        metavar="FILE",
        help="names of the classes, one on a line",
    )
    command.set_defaults(run=_run_export, show=_show_fields)


def _run_export(options):
    if options.tflite is None and options.saved_model is None:
        raise ValueError("Give --tflite FILE, --saved-model FOLDER, or both. Received: none.")
    if options.tflite is None and (options.quantization != "none" or options.sequence_length):
        raise ValueError(
            "--quantization and --sequence-length are for a TFLite file. Received: no --tflite FILE"
        )
    if options.saved_model is None and options.class_names is not None:
        raise ValueError("--labels are for a SavedModel. Received: no --saved-model FOLDER")
    data = None if options.data is None else _arrays(options.data, ["x"])[0]
    class_names = None
    if options.class_names is not None:
        class_names = [clean_name(name) for name in read_tokens(options.class_names)]
    model = load_model_file(options.model)
    for_phones = {
        "path": options.tflite,
        "quantization": options.quantization,
        "sequence_length": options.sequence_length,
        "representative_data": data,
    }
    for_servers = {
        "directory": options.saved_model,
        "class_names": class_names,
        "representative_data": data,
    }
    # Both checks come before the first file is written.
    if options.tflite is not None:
        check_tflite(model, **for_phones)
    if options.saved_model is not None:
        check_saved_model(model, **for_servers)
    result = {}
    if options.tflite is not None:
        report = kd.export_tflite(model, **for_phones)
        result = {**dataclasses.asdict(report), "path": str(report.path)}
    if options.saved_model is not None:
        result["saved_model"] = str(kd.export_saved_model(model, **for_servers))
    return result


def _add_compare(command):
    _add_trust(command)
    command.add_argument(
        "models",
        nargs="+",
        metavar="NAME=MODEL",
        help=".keras, .tflite, SavedModel (which can run code) or store",
    )
    command.add_argument(
        "--data",
        required=True,
        help="a table of texts and labels, or an .npz with x and y, which are indices of classes "
        "or their names",
    )
    command.add_argument("--text", default="text", help="column; default: %(default)s")
    command.add_argument("--label", default="label", help="column; default: %(default)s")
    command.add_argument(
        "--classes",
        dest="class_names",
        nargs="+",
        metavar="NAME",
        help="all classes, in the order of the outputs of those models that do not name them",
    )
    command.add_argument(
        "--task",
        choices=("classification", "regression"),
        help="what the models do; default: what labels and outputs tell",
    )
    for option in ("logits", "probabilities"):
        command.add_argument(
            f"--{option}",
            nargs="+",
            default=[],
            metavar="NAME",
            help=f"models whose outputs are {option}; default: what their last layers show",
        )
    command.add_argument("--teacher", metavar="NAME", help="default: teacher, if there is one")
    command.add_argument("--baseline", metavar="NAME", help="default: alone, if there is one")
    _add_threads(command)
    command.add_argument("--html", metavar="FILE", help="write a page")
    command.set_defaults(run=_run_compare, show=lambda result: result["table"])


def _run_compare(options):
    wrong = [text for text in options.models if "=" not in text]
    if wrong:
        raise ValueError(f"Models must be given as NAME=MODEL. Received: {', '.join(wrong)}")
    if options.html is not None:
        check_page("html", pathlib.Path(options.html))
    if options.data.lower().endswith(".npz"):
        data = _arrays(options.data, ["x", "y"] if has_array(options.data, "y") else ["x"])
    else:
        data = read_labelled(options.data, options.text, options.label)
    if both := set(options.logits) & set(options.probabilities):
        raise ValueError(
            f"--logits and --probabilities exclude each other. Received: {', '.join(sorted(both))}"
        )
    models = dict(text.split("=", 1) for text in options.models)
    if len(models) < len(options.models):
        raise ValueError(f"Models must have different names. Received: {options.models}")
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


def _arrays(path, names):
    return tuple(read_arrays(path, names, max_bytes=math.inf))


def _add_describe(command):
    command.add_argument(
        "path", help="a .tflite file, or a folder: of a job, a store, a SavedModel or its versions"
    )
    command.set_defaults(run=_run_describe, show=lambda result: result["text"])


def _run_describe(options):
    description = kd.describe(options.path)
    fields = dataclasses.asdict(description)
    return {**fields, "path": str(description.path), "text": str(description)}


def _add_benchmark(command):
    command.add_argument(
        "path", help="a .tflite file or the folder of a SavedModel, which can run code"
    )
    command.add_argument("--threads", type=int, nargs="+", default=[1], help="default: 1")
    command.set_defaults(run=_run_benchmark, show=_show_latencies)


def _run_benchmark(options):
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


def _show_fields(result):
    return "\n".join(f"{name}: {value}" for name, value in result.items() if value is not None)


@contextlib.contextmanager
def _plain_warnings(options):
    """Prints warnings without the source line, which does not help users of the command."""
    before = warnings.formatwarning
    if not options.debug:
        warnings.formatwarning = lambda message, *_, **__: f"Warning: {one_line(message)}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextlib.contextmanager
def _progress(options):
    """Sends progress output to nowhere, to stderr if JSON is printed, or to stdout."""
    if options.quiet:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
        return
    stream = sys.stderr if options.json else sys.stdout
    output = contextlib.nullcontext(stream) if stream.isatty() else PlainOutput(stream)
    with output as opened, contextlib.redirect_stdout(opened):
        yield


def _explain(error):
    """Explains an error in one line, with advice if memory is short."""
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return (
            "There is not enough memory. Lower --sequence-length or --vocabulary-size, give fewer "
            f"texts, or take a smaller teacher. {one_line(error)}"
        )
    return one_line(error)


if __name__ == "__main__":
    sys.exit(main())
