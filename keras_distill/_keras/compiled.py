"""The attributes that `compile` sets in a model: its loss, its metrics, the mean of its losses.

Keras gives them no public names: `model.metrics` has all of them, mixed with those of layers. If
they are removed, a model around the student must be compiled instead, with a placeholder loss.
"""

import contextlib
import threading
import weakref

# compile() sets these attributes, and a subclass's compute_loss() and compute_metrics() read them.
_COMPILED = ("compiled", "loss", "optimizer", "_compile_loss", "_compile_metrics", "_loss_tracker")

_lock = threading.Lock()
_lent = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def compiled_as(model, other):
    """A context in which a model has the compile state of another model.

    Args:
        model: The model whose `compute_loss` or `compute_metrics` will be called.
        other: A compiled model.
    """
    with _lock:
        # Contexts may be nested: MirroredStrategy traces each replica in a separate thread.
        count, before = _lent.get(model, (0, None))
        if count == 0:
            before = {name: vars(model)[name] for name in _COMPILED if name in vars(model)}
            for name in _COMPILED:
                # object.__setattr__ bypasses Keras, which would track the value.
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
    """The loss of a model's own `compute_loss`, including regularisers, or None.

    Args:
        model: The model.
        compiled: The compiled model whose loss, optimizer and metrics it sees.
        *batch: x, y, y_pred and sample_weight.
        training: Whether this is a training step.
    """
    with compiled_as(model, compiled):
        # Keras calls it in the same way: a `compute_loss` for an older Keras has no `training`. If
        # `_compute_loss` is removed, `inspect.signature(model.compute_loss)` shows the argument.
        return model._compute_loss(*batch, training=training)


def own_metrics(model):
    """The metrics that a model has without compile(), from its class and its layers."""
    compiled = {id(m) for m in (model._loss_tracker, model._compile_metrics, *loss_metrics(model))}
    return [metric for metric in model.metrics if id(metric) not in compiled]


def loss_metrics(model):
    """Lists the metrics of a compiled loss: one for each output if a model has several."""
    return getattr(model._compile_loss, "metrics", None) or []


def compile_metrics(model):
    """Lists the metrics that a built model was compiled with."""
    return getattr(model._compile_metrics, "metrics", None) or []
