"""What `compile` sets in a model: its loss, its metrics, the mean of its losses.

Keras gives them no public names: `model.metrics` has them all, mixed with those of layers. Should
they go, a model around the student must be compiled in its place, with a loss that is none.
"""

import contextlib
import threading
import weakref

# What compile() sets, and compute_loss() and compute_metrics() of a subclass read.
_COMPILED = ("compiled", "loss", "optimizer", "_compile_loss", "_compile_metrics", "_loss_tracker")

_lock = threading.Lock()
_lent = weakref.WeakKeyDictionary()


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
        # As Keras calls it: a `compute_loss` for an older Keras does not take `training`. Should
        # `_compute_loss` go, `inspect.signature(model.compute_loss)` tells which one it is.
        return model._compute_loss(*batch, training=training)


def own_metrics(model):
    """The metrics that a model has without compile(): those of its class and its layers."""
    compiled = {id(m) for m in (model._loss_tracker, model._compile_metrics, *loss_metrics(model))}
    return [metric for metric in model.metrics if id(metric) not in compiled]


def loss_metrics(model):
    """Lists the metrics of a compiled loss: one for each output, where a model has several."""
    return getattr(model._compile_loss, "metrics", None) or []


def compile_metrics(model):
    """Lists the metrics that a built model was compiled with."""
    return getattr(model._compile_metrics, "metrics", None) or []
