"""keras-distill export: write a model for phones or servers."""

import os
import pathlib

from keras_distill_cli.options import add_trust
from keras_distill_cli.options import read_npz

TITLE = "Write a Keras model as a file for phones or servers."
EXAMPLE = "keras-distill export student.keras --tflite student.tflite"


def add_options(command):
    command.add_argument("model", metavar="MODEL", help="A .keras file.")
    command.add_argument("--tflite", metavar="FILE", help="Write a TFLite file.")
    command.add_argument("--saved-model", metavar="FOLDER", help="Write a SavedModel.")
    command.add_argument(
        "--quantization",
        default="none",
        metavar="MODE",
        help="How the TFLite file stores numbers: none, float16, dynamic, int8, int16x8 or "
        "int4. Default: %(default)s.",
    )
    command.add_argument(
        "--sequence-length",
        type=_length,
        metavar="N",
        help="The size of axes that the model leaves open, such as the length of a text. 'any' "
        "leaves them open in the file, too. Default: an open axis is an error.",
    )
    command.add_argument(
        "--data",
        metavar="FILE.npz",
        help="Real inputs, an array x: int8 is calibrated with them, and the files are checked "
        "with them. Default: the files are checked with random inputs.",
    )
    command.add_argument(
        "--labels",
        dest="class_names",
        metavar="FILE",
        help="Names of the classes for the SavedModel, one on each line. Default: none.",
    )
    add_trust(command)
    command.set_defaults(run=_run, show=_show_fields)


def _length(text):
    return text if text == "any" else int(text)


def _run(options):
    import dataclasses

    import keras_distill as kd
    from keras_distill._arguments.names import clean_name
    from keras_distill._files.destination import check_replaces_none
    from keras_distill._keras.model_files import load_model_file
    from keras_distill.export.saved_model.export import check_saved_model
    from keras_distill.export.tflite.export import check_tflite
    from keras_distill.text.vocabularies.base import read_tokens

    if options.tflite is None and options.saved_model is None:
        raise ValueError("Give --tflite FILE, --saved-model FOLDER, or both. Received: none.")
    if options.tflite is None and (options.quantization != "none" or options.sequence_length):
        raise ValueError(
            "--quantization and --sequence-length are for a TFLite file. Received: no --tflite FILE"
        )
    if options.saved_model is None and options.class_names is not None:
        raise ValueError("--labels are for a SavedModel. Received: no --saved-model FOLDER")
    check_replaces_none(
        "tflite", options.tflite, (options.model, options.data, options.class_names)
    )
    _check_apart(options.tflite, options.saved_model)
    data = None if options.data is None else read_npz(options.data, ["x"])[0]
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


def _check_apart(tflite, saved_model):
    if None in (tflite, saved_model):
        return
    file, folder = (pathlib.Path(os.path.abspath(path)) for path in (tflite, saved_model))
    if file in (folder, *folder.parents):
        raise ValueError(
            "--tflite must be another path than --saved-model, and than the folders around it. "
            f"Received: {tflite} and {saved_model}"
        )


def _show_fields(result):
    return "\n".join(f"{name}: {value}" for name, value in result.items() if value is not None)
