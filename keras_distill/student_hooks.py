"""What a student's class says of its own training: its loss, its metrics, its steps."""

import contextlib
import threading
import weakref

import keras

_STEPS = ("train_step", "test_step", "make_train_function", "make_test_function")
# What compile() sets, and compute_loss() and compute_metrics() of a subclass read.
_COMPILED = ("compiled", "loss", "optimizer", "_compile_loss", "_compile_metrics", "_loss_tracker")

_lock = threading.Lock()
_lent = weakref.WeakKeyDictionary()


def has_own(model, name):
    """Whether a model has another method of this name than every `keras.Model`."""
    method = getattr(model, name)
    return getattr(method, "__func__", method) is not getattr(keras.Model, name)


def check_steps(argument, model):
    """Raises `ValueError` for a model that trains by a step of its own, which would not run."""
    if own := [name for name in _STEPS if has_own(model, name)]:
        raise ValueError(
            f"{argument} must learn by Keras's own steps: another step trains it here, so that its "
            f"own would not run. Received: {argument} {model.name!r} of {type(model).__name__}, "
            f"which has its own {', '.join(own)}. Move what it does into compute_loss() or "
            "compute_metrics(), which are called; or leave it out, by a plain "
            "keras.Model(model.inputs, model.outputs) of the same layers."
        )


def check_plain(argument, model):
    """Raises `ValueError` for a model with a loss, metrics or steps of its own."""
    check_steps(argument, model)
    if own := [name for name in ("compute_loss", "compute_metrics") if has_own(model, name)]:
        raise ValueError(
            f"{argument} must have no loss or metrics of its own: those of compile() are for every "
            f"model. Received: {argument} {model.name!r} of {type(model).__name__}, which has its "
            f"own {', '.join(own)}. Give a plain keras.Model(model.inputs, model.outputs) of the "
            "same layers."
        )


@contextlib.contextmanager
def compiled_as(model, other):
    """A context in which a model is compiled as another one, whose batch it is shown.

    Args:
        model: The model, whose `compute_loss` or `compute_metrics` is to be called.
        other: A compiled model.
    """
    with _lock:
        # MirroredStrategy traces each replica in a thread of its own.
        count, before = _lent.get(model, (0, None))
        if count == 0:
            before = {name: vars(model)[name] for name in _COMPILED if name in vars(model)}
            for name in _COMPILED:
                # Past Keras, which would track it.
                object.__setattr__(model, name, getattr(other, name, None))
        _lent[model] = count + 1, before
    try:
        yield
    finally:
        with _lock:
            count, before = _lent.pop(model)
            if count > 1:
                _lent[model] = count - 1, before
            else:
                for name in _COMPILED:
                    object.__delattr__(model, name)
                for name, value in before.items():
                    object.__setattr__(model, name, value)


def own_loss(model, compiled, *batch, training):
    """The loss of a model's own `compute_loss`, regularisers included, or None.

    Args:
        model: The model.
        compiled: The compiled model whose loss, optimizer and metrics it sees.
        *batch: x, y, y_pred and sample_weight.
        training: Whether this is a training step.
    """
    with compiled_as(model, compiled):
        # As Keras calls it: older ones do not take `training`.
        return model._compute_loss(*batch, training=training)


def own_metrics(model):
    """The metrics that a model has without compile(): those of its class and its layers."""
    of_loss = getattr(model._compile_loss, "metrics", ())
    compiled = {id(m) for m in (model._loss_tracker, model._compile_metrics, *of_loss)}
    return [metric for metric in model.metrics if id(metric) not in compiled]
