"""Methods of training that a student's class overrides: its loss, metrics, steps and fit."""

import keras

_STEPS = (
    "train_step",
    "test_step",
    "make_train_function",
    "make_test_function",
    "make_predict_function",
)
# Users call these methods; those of the model that trains the student replace them.
_ENTRIES = ("fit", "evaluate", "train_on_batch", "test_on_batch")
# These properties tell Keras's step which weights to train.
_TRAINED = ("trainable_weights", "trainable_variables")
_OF_COMPILE = ("compute_loss", "compute_metrics")
_OWN_RESULTS = (
    "compile",
    "get_metrics_result",
    "metrics",
    "reset_metrics",
    "losses",
    "predict",
    "predict_on_batch",
    "predict_step",
)


def has_own(model, name):
    """Whether a model's class overrides this method or property of `keras.Model`."""
    of_class = getattr(type(model), name)
    if isinstance(of_class, property):
        return of_class is not getattr(keras.Model, name)
    method = getattr(model, name)
    return getattr(method, "__func__", method) is not getattr(keras.Model, name)


def overrides(model, name):
    """Whether a model overrides this method other than as every KerasHub task does.

    Tasks preprocess raw data in `fit`, `evaluate` and `predict`, which get preprocessed data
    here, and their `compile` only adds defaults for arguments that are given here.
    """
    if not has_own(model, name):
        return False
    of_class = getattr(type(model), name)
    if isinstance(of_class, property):
        return True
    return getattr(getattr(model, name), "__module__", "").partition(".")[0] != "keras_hub"


def check_steps(argument, model):
    """Raises `ValueError` for a model with its own training step, which would not run."""
    if own := [name for name in _STEPS if has_own(model, name)]:
        raise ValueError(
            f"{argument} must learn by Keras's own steps: another step trains it here, so that its "
            f"own would not run. {_received(argument, model, own)} Move what it does into "
            "compute_loss(), compute_metrics() or predict_step(), which are called; or leave it "
            "out, by a plain keras.Model(model.inputs, model.outputs) of the same layers."
        )
    if own := [name for name in _ENTRIES if overrides(model, name)]:
        raise ValueError(
            f"{argument} must be trained by Keras's own fit: another model's fit trains it here, "
            f"so that its own would not run. {_received(argument, model, own)} Move what it does "
            "to the data into the data (dataset.map), and the rest into callbacks; or leave it "
            "out, by a plain keras.Model(model.inputs, model.outputs) of the same layers."
        )
    if own := [name for name in _TRAINED if has_own(model, name)]:
        raise ValueError(
            f"{argument} must say by layer.trainable which layers learn: what its class says would "
            f"not be asked. {_received(argument, model, own)} Set layer.trainable = False for the "
            "others, and leave it out, by a plain keras.Model(model.inputs, model.outputs) of the "
            "same layers."
        )


def check_compiled(model):
    """Raises `ValueError` for a student whose own `compile` was not called."""
    if overrides(model, "compile") and not model.compiled:
        raise ValueError(
            "A student with its own compile() must have been compiled by it: what this sets may "
            f"change how it learns. {_received('student', model, ['compile'])} Call "
            "student.compile(...) before, also of one that was loaded; then distiller.compile() "
            "takes the optimizer, loss and metrics that train it."
        )


def check_plain(argument, model):
    """Raises `ValueError` for a model with a loss, metrics or steps of its own."""
    check_steps(argument, model)
    own = [name for name in _OF_COMPILE if has_own(model, name)]
    own += [name for name in _OWN_RESULTS if overrides(model, name)]
    if own:
        raise ValueError(
            f"{argument} must have no loss or metrics of its own, and no other compile() or "
            "predict() than Keras's: those of the model around it are for every model. "
            f"{_received(argument, model, own)} Give a plain keras.Model(model.inputs, "
            "model.outputs) of the same layers."
        )


def _received(argument, model, own):
    return (
        f"Received: {argument} {model.name!r} of {type(model).__name__}, which has its own "
        f"{', '.join(own)}."
    )
