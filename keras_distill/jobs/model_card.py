"""The card of a job's student, as a part of the page and as model_card.md."""

import dataclasses
import datetime
import importlib.metadata
import os
import pathlib
import platform
import shlex
import sys

import keras
import tensorflow as tf

from keras_distill.evaluation.answer import answer_of
from keras_distill.evaluation.answer import noun
from keras_distill.evaluation.report.card_format import ModelCard
from keras_distill.evaluation.report.card_format import Section
from keras_distill.evaluation.report.errors import weakest_classes
from keras_distill.evaluation.tables import show_count
from keras_distill.evaluation.tables import show_ms
from keras_distill.evaluation.tables import show_short
from keras_distill.evaluation.tables import show_size

_FILL_IN = "(fill in)"
_MAX_CLASSES = 20
_NUM_WEAKEST = 3
_PACKAGES = ("keras-distill", "keras", "tensorflow", "numpy")


def make_card(job, work, comparison):
    """The `ModelCard` of a finished job.

    Args:
        job: The `TextJob` or `ImageJob`.
        work: Its data and settings.
        comparison: The `Comparison` of its models.
    """
    examples = noun(comparison)
    accuracy = comparison["phone"]["accuracy"].value
    kind = "text" if examples == "texts" else "image"
    metadata = {
        "library_name": "keras",
        "pipeline_tag": f"{kind}-classification",
        "tags": ["keras-distill", "knowledge-distillation", "tflite", "litert"],
        "metrics": ["accuracy"],
        "model-index": [
            {
                "name": "student.tflite",
                "results": [
                    {
                        "task": {"type": f"{kind}-classification"},
                        "dataset": {"name": _test_name(job), "type": _test_name(job)},
                        "metrics": [{"type": "accuracy", "value": round(accuracy, 4)}],
                    }
                ],
            }
        ],
    }
    sections = (
        _what_it_is(job, work, comparison, examples),
        _figures(comparison),
        _data(job, work, examples),
        _training(job, work),
        _limits(job, comparison, examples),
        _usage(kind),
        _licences(job),
    )
    to_fill_in = (
        "Fill in, and remove the number signs:",
        "license: apache-2.0",
        "language: en",
        "datasets: [owner/name]",
        "base_model: owner/name",
    )
    return ModelCard(f"Student distilled from {_name(job.teacher)}", metadata, to_fill_in, sections)


def _what_it_is(job, work, comparison, examples):
    names = work.train.class_names
    said = ", ".join(names[:_MAX_CLASSES])
    if len(names) > _MAX_CLASSES:
        said += f" and {len(names) - _MAX_CLASSES} more, in labels.txt of the TFLite file"
    student, teacher = (comparison[name].cost for name in ("distilled", "teacher"))
    return Section(
        "What it is",
        sentences=(
            f"A classifier of {examples} with {len(names)} classes. It is small, and was trained "
            "to imitate a larger classifier (its teacher).",
        ),
        facts=(
            ("student", f"{show_count(student.num_parameters)} parameters"),
            ("teacher", f"{_name(job.teacher)}, {show_count(teacher.num_parameters)} parameters"),
            ("classes", said),
            ("student.tflite", f"{_size(comparison, 'phone')}, for phones and browsers"),
            ("serving/", f"{_size(comparison, 'server')}, a SavedModel for TF Serving"),
            ("distilled.keras", f"{_size(comparison, 'distilled')} of weights, for Keras"),
            ("intended use", _FILL_IN),
        ),
    )


def _figures(comparison):
    answer = answer_of(comparison)
    facts = []
    for name, model in comparison.models.items():
        measure = next(m for m in model.figures if m.name == "accuracy")
        figure = model["accuracy"]
        low, high = (f"{100 * bound:.1f}" for bound in (figure.low, figure.high))
        parts = [f"accuracy {show_short(measure, figure.value)} (95 % interval {low} to {high})"]
        parts.append(show_size(model.cost.num_bytes))
        if model.cost.median_ms:
            parts.append(f"{show_ms(model.cost.median_ms[min(model.cost.median_ms)])} ms")
        facts.append((name, ", ".join(parts)))
    return Section("How good it is", (answer.headline, *answer.sentences), facts=tuple(facts))


def _data(job, work, examples):
    test = f"{len(work.test):,} {examples}"
    if job.test is None:
        test += f" of the training data, set apart at random with seed {job.seed}"
    else:
        test += f" from {_dated(job.test)}"
    facts = [
        ("training", f"{len(work.train):,} {examples} with labels from {_dated(job.train)}"),
        *(("more, without labels", _dated(path)) for path in job.unlabelled),
        ("answered by the teacher", f"{len(work.transfer_set):,} {examples}"),
        ("test", test),
    ]
    if work.num_duplicates:
        facts.append(("test examples that are training examples too", f"{work.num_duplicates:,}"))
    facts.append(("where the data comes from", _FILL_IN))
    return Section("Data", facts=tuple(facts))


def _training(job, work):
    trained = _date(work.folder.path / "distilled.keras")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    gpus = [
        tf.config.experimental.get_device_details(device).get("device_name", "GPU")
        for device in tf.config.list_physical_devices("GPU")
    ]
    machine = [platform.platform(), _processor(), f"{os.cpu_count()} CPUs", *gpus]
    return Section(
        "How it was made",
        facts=(
            ("date", trained),
            ("seed", str(job.seed)),
            ("steps of the student", f"{work.num_steps:,}"),
            ("quantization of the TFLite file", job.quantization),
            ("versions", ", ".join([f"Python {platform.python_version()}", *versions])),
            ("Keras backend", keras.backend.backend()),
            ("machine", ", ".join(part for part in machine if part)),
        ),
        code=_command(job),
    )


def _limits(job, comparison, examples):
    items = [
        f"It knows its {len(comparison.class_names or ())} classes only, and gives one of them for "
        f"any of the {examples}, also for those that belong to none. Its probability can tell: "
        "see the coverage in report.html.",
        f"The accuracy is that on {comparison.num_examples:,} test {examples}. On {examples} of "
        "another kind it can be lower.",
        f"One training run, with seed {job.seed}: another seed gives another student.",
        "It learned the teacher's answers, and with them the teacher's errors and biases.",
        f"It is weakest on {_weakest(comparison)}.",
        "The times are those of the machine that is named above, not of a phone.",
        *comparison.notes,
    ]
    return Section("Limits", items=tuple(items))


def _weakest(comparison):
    rows = weakest_classes(comparison, "phone").rows[:_NUM_WEAKEST]
    return ", ".join(f"{name.text} (finds {right.text})" for name, _, right, _ in rows)


def _usage(kind):
    example = '"the text"' if kind == "text" else "picture.jpg"
    served = 'text=tf.constant(["the text"])'
    if kind == "image":
        served = "**{name: pixels for name in served.structured_input_signature[1]}"
    python = (
        "import tensorflow as tf\n\n"
        'model = tf.saved_model.load("serving/1")\n'
        'served = model.signatures["serving_default"]\n'
        f"print(served({served}))"
    )
    if kind == "image":
        python = python.replace(
            "print(", "# pixels: float32 (images, height, width, channels), from 0 to 255\nprint("
        )
    return Section(
        "How to use it",
        sentences=(
            "student.tflite has the labels and, for texts, the vocabulary in it. LiteRT and "
            "MediaPipe Tasks read it on Android, iOS and in browsers.",
        ),
        code=(("sh", f"keras-distill predict student.tflite {example}"), ("python", python)),
    )


def _licences(job):
    return Section(
        "Licences",
        facts=(
            ("these files", _FILL_IN),
            ("the data", _FILL_IN),
            (f"the teacher, {_name(job.teacher)}", _FILL_IN),
            ("whom to ask", _FILL_IN),
        ),
    )


def _command(job):
    """The command that the user typed, or else the call in Python."""
    if pathlib.Path(sys.argv[0]).stem == "keras-distill":
        return (("sh", shlex.join(["keras-distill", *sys.argv[1:]])),)
    settings = [
        f"    {field.name}={getattr(job, field.name)!r},"
        for field in dataclasses.fields(job)
        if getattr(job, field.name) != field.default
    ]
    call = "\n".join([f"kd.jobs.{type(job).__name__}(", *settings, ").run()"])
    return (("python", f"import keras_distill as kd\n\n{call}"),)


def _size(comparison, name):
    return show_size(comparison[name].cost.num_bytes)


def _test_name(job):
    return _name(job.train if job.test is None else job.test)


def _name(path):
    """A file's name without its folders; a preset's name as it is."""
    path = os.fspath(path)
    return pathlib.Path(path).name if os.path.exists(path) else path


def _dated(path):
    if not os.path.exists(path):
        return _name(path)
    return f"{_name(path)}, a file of {_date(path)}"


def _date(path):
    seconds = os.stat(path).st_mtime
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()


def _processor():
    """The processor's name, where the system tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
