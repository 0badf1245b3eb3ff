"""SavedModel export for TF Serving."""

import pathlib
import re
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_distill._arguments.checks import check_integer
from keras_distill._files.destination import check_destination
from keras_distill._files.destination import new_folder
from keras_distill._files.plain_path import plain_path
from keras_distill.export import parity
from keras_distill.export.check_inputs import examples_for_check
from keras_distill.export.rounding_noise import rounding_noise
from keras_distill.export.saved_model.served_model import ServedModel
from keras_distill.export.saved_model.serving import batching_config
from keras_distill.export.saved_model.serving import check_can_warm_up
from keras_distill.export.saved_model.serving import check_model_name
from keras_distill.export.saved_model.serving import write_configs
from keras_distill.export.saved_model.serving import write_warmup
from keras_distill.export.vocabulary_check import check_vocabulary
from keras_distill.text.vocabularies.base import Vocabulary

DEFAULT, TOKENS = "serving_default", "tokens"
# The check uses two batch sizes: the second shows a batch size that was frozen in the graph.
_BATCH_SIZES = (1, 3)


def export_saved_model(
    model,
    directory,
    *,
    version=None,
    class_names=None,
    preprocessor=None,
    top_k=None,
    warmup=None,
    batch_sizes=None,
    representative_data=None,
):
    """Writes a SavedModel for TF Serving, checked against Keras before it appears.

    The endpoint `serving_default` has any batch size and named inputs and outputs. With a
    preprocessor it reads texts, and a second endpoint, `tokens`, reads the model's own inputs.

    A classifier, which has one output (batch, classes) of logits or softmax, returns
    `logits` (unless it ends in a softmax) and `probabilities`; with class_names also `label`
    (batch,), `top_labels` and `top_scores` (batch, top_k).

    Names: an input is named after its key if the inputs are a dict, else after its Input layer,
    or "inputs" ("inputs_0", "inputs_1", ... if there are several) if the layer has no name of its
    own; texts are "text". An output of other models is named after its key, else after its last
    layer, or "output" ("output_0", "output_1", ...) if Keras generated the layer's name. Nested
    keys are joined with "_", and characters that a Python identifier cannot have become "_".

    The files are written to a hidden folder inside `directory`, loaded again and run on
    1 and on 3 examples. Only if every output equals Keras's within the tolerance, the folder is
    renamed to its number in one step. A server that watches `directory` never sees half a model:

    ```
    max |SavedModel - Keras| <= tolerance * max |Keras| + noise
    tolerance = 1e-5    (float16 layers: 1e-2, bfloat16 layers: 8e-2)
    ```

    The noise is ten times the change of the outputs when all weights and inputs change by one step
    of float32. Probabilities are compared as logarithms; if classes tie, any of their labels is
    accepted.

    Args:
        model: A `keras.Model`: Functional, Sequential and built, or subclassed and called
            once with a `keras.Input`. String inputs are allowed.
        directory: The model's folder; its versions are folders named 1, 2, ...
        version: Number of the new version, at least 1. None means the highest existing number
            plus one.
        class_names: Names of the classes, in the model's order.
        preprocessor: A layer or model from strings (batch,) to the model's inputs, such as
            a vocabulary of `keras_distill.text` or KerasHub's; (batch, 2) for a student of
            pairs with its own vocabulary. A `keras.Model` may have another shape of strings.
        top_k: Number of best classes in the answers. Defaults to all, at most 5.
        warmup: Examples that the server runs before it serves a new version, in the form that
            `serving_default` takes, with a batch axis. They are stored in the
            version's folder, in assets.extra, at most 1000. With a preprocessor they are
            also the texts of the check.
        batch_sizes: Increasing batch sizes into which the server may combine concurrent requests.
            They are written to batching.config in `directory`, next to models.config. The warm-up
            has a request of each size. A larger request is split, into up to 64 largest batches.
            Only requests of equal shape are combined: clients of `tokens`, and of models with
            inputs of any length, should pad to a fixed length.
        representative_data: Real inputs for the check: an array, dict or list as the
            model takes it, with a batch axis, or a batched `tf.data.Dataset` of x or
            `(x, y)`. None means generated inputs, which check the graph equally well, unless
            the model takes ids that the generator cannot know.

    Returns:
        The folder of the new version, a `pathlib.Path`.

    Raises:
        FileExistsError: If this version exists. Nothing is overwritten.
        ValueError: If the model's inputs are not known, the outputs differ from Keras's
            or between two runs, or an output is NaN or infinite. No files are left behind.

    Example:

    ```python
    path = export_saved_model(student, "served/sentiment")    # served/sentiment/1
    served = tf.saved_model.load(path).signatures["serving_default"]
    served(ids=tf.constant(ids))["probabilities"]
    ```
    """
    path, endpoints, examples, requests, batching = check_saved_model(
        model,
        directory,
        version=version,
        class_names=class_names,
        preprocessor=preprocessor,
        top_k=top_k,
        warmup=warmup,
        batch_sizes=batch_sizes,
        representative_data=representative_data,
    )
    directory = path.parent
    if batching is not None:
        _warn_of_open_sizes(endpoints[DEFAULT])
    with new_folder(path) as written:
        write_saved_model(endpoints, written)
        for name, endpoint in endpoints.items():
            _check_endpoint(endpoint, written, name, examples[name])
        if requests is not None:
            write_warmup(written, directory.resolve().name, requests, batch_sizes or ())
    write_configs(directory, batching)
    return path


def check_saved_model(
    model,
    directory,
    *,
    version=None,
    class_names=None,
    preprocessor=None,
    top_k=None,
    warmup=None,
    batch_sizes=None,
    representative_data=None,
):
    """Raises the errors of `export_saved_model` that need no files; the model may be untrained.

    Args:
        model, directory, version, class_names, preprocessor, top_k, warmup, batch_sizes,
        representative_data: As for `export_saved_model`.

    Returns:
        The parts for the export: the version's folder, the endpoints and the examples of
        their check by name, the requests of the warm-up and the text of batching.config.
    """
    endpoints = {DEFAULT: ServedModel(model, class_names, top_k)}
    if preprocessor is not None:
        with_text = _behind(preprocessor, model)
        endpoints = {
            DEFAULT: ServedModel(with_text, class_names, top_k),
            TOKENS: endpoints[DEFAULT],
        }
    directory = pathlib.Path(directory)
    check_destination("directory", directory, "folder")
    check_model_name(directory)
    path = directory / str(_free_version(directory, version))
    requests = None
    if warmup is not None:
        requests = endpoints[DEFAULT].name_inputs(warmup)
        if not len(next(iter(requests.values()))):
            raise ValueError(
                "warmup must hold at least one example. Received: none. Leave it out, or give some."
            )
        check_can_warm_up()
    batching = None if batch_sizes is None else batching_config(batch_sizes)
    data = {DEFAULT: representative_data}
    if preprocessor is not None:
        data = {DEFAULT: warmup, TOKENS: representative_data}
    examples = {
        name: examples_for_check(endpoint, data[name], 3, max_examples=3)[0]
        for name, endpoint in endpoints.items()
    }
    return path, endpoints, examples, requests, batching


def _warn_of_open_sizes(endpoint):
    is_open = {
        name: tuple(spec.shape)
        for name, spec in endpoint.input_specs().items()
        if None in spec.shape[1:]
    }
    if is_open:
        warnings.warn(
            "batch_sizes: a server makes one batch only of requests of one shape, and refuses "
            "those of another that meet in it. The model has inputs of any size: "
            f"{is_open}. Let all clients pad to one size, or serve texts with preprocessor=.",
            stacklevel=3,
        )


def _behind(preprocessor, model):
    check_vocabulary("preprocessor", preprocessor, model)
    texts = keras.Input(_text_shape(preprocessor, model), dtype="string", name="text")
    return keras.Model(texts, model(preprocessor(texts)), name=model.name)


def _text_shape(preprocessor, model):
    if isinstance(preprocessor, keras.Model):
        return preprocessor.input_shape[1:]
    # A student for pairs reads ids (batch, 2, length).
    reads_pairs = [
        tuple(tensor.shape[1:-1]) for tensor in getattr(model, "inputs", None) or ()
    ] == [(2,)]
    return (2,) if isinstance(preprocessor, Vocabulary) and reads_pairs else ()


def write_saved_model(endpoints, folder, batch_size=None):
    """Writes a SavedModel, unchecked.

    Args:
        endpoints: `NamedModel`s by the names of the endpoints.
        folder: The folder to write, which must not exist.
        batch_size: A fixed batch size, or None for any.
    """
    archive = keras.export.ExportArchive()
    # The archive finds lookup tables, such as a TextVectorization's, only through the model. If
    # the model itself were tracked, every weight would be written and served twice.
    holder = tf.Module()
    holder.models = [named_model.model for named_model in endpoints.values()]
    archive.track(holder)
    for name, named_model in endpoints.items():
        archive.add_endpoint(name, named_model, [named_model.input_specs(batch_size)])
    archive.write_out(str(folder), verbose=False)


def _free_version(directory, version):
    version = check_integer("version", version, optional=True)
    names = [path.name for path in directory.iterdir()] if directory.exists() else []
    versions = [int(name) for name in names if re.fullmatch("[0-9]+", name)]
    if version is None:
        return max(versions, default=0) + 1
    if version in versions:
        raise FileExistsError(
            f"Version {version} exists in {directory}, and a version is never overwritten. "
            f"Received: version={version}. Give another number, or None for the next one."
        )
    return version


def _check_endpoint(named_model, folder, name, inputs):
    # The module owns the variables: it must outlive its signature.
    module = tf.saved_model.load(plain_path(folder))
    endpoint = module.signatures[name]
    tolerance = parity.float_tolerance(named_model.model)
    for batch_size in _BATCH_SIZES:
        # If there are fewer examples than the batch needs, they are repeated.
        batch = {name: np.take(v, range(batch_size), 0, mode="wrap") for name, v in inputs.items()}
        expected = named_model.comparable(parity.keras_outputs(named_model, batch))
        served = endpoint(**{name: tf.convert_to_tensor(v) for name, v in batch.items()})
        served = named_model.comparable({name: tensor.numpy() for name, tensor in served.items()})
        given = named_model, expected, served, tolerance
        problem = _difference(*given, noise={})
        if problem:
            problem = _difference(*given, rounding_noise(named_model, batch, expected))
        if problem:
            raise ValueError(
                f"The SavedModel must agree with Keras to {problem[1]:.3g}. "
                f"Received, on a batch of {batch_size}: {problem[0]}. Nothing was written. "
                "Does a layer read the batch size, or other values, in Python?"
            )


def _difference(named_model, expected, served, tolerance, noise):
    """The first output that differs by more than its limit, and the limit; else None."""
    outputs = parity.compare_outputs(expected, served)
    limits = {o.name: o.limit(tolerance) + noise.get(o.name, 0.0) for o in outputs}
    served = named_model.with_ties(served, expected, limits.get("probabilities"))
    for output in parity.compare_outputs(expected, served):
        if output.max_difference > limits[output.name]:
            return output, limits[output.name]
    return None
