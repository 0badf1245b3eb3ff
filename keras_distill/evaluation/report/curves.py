"""Learning curves: only values of one definition share a chart."""

from keras_distill.evaluation.report import charts

# What training logs beside its results.
_SETTINGS = ("learning_rate", "lr")


def draw(histories, places):
    """List of (title, SVG) of learning curves.

    Two models have each its own definition of a loss: with a teacher or without, smoothed or not.
    So the losses of a model have a chart of their own, and other values one for all models.

    Args:
        histories: Dict from name to the result of `fit`.
        places: Dict from name to the index of the model, for the colours.
    """
    logged = {
        name: {key: list(map(float, values)) for key, values in history.history.items()}
        for name, history in histories.items()
    }
    keys = dict.fromkeys(key for values in logged.values() for key in values)
    drawn = []
    for key in sorted(keys, key=_is_of_training):
        if _is_loss(key) or key in _SETTINGS:
            continue
        curves = [
            (name, places.get(name, len(places)), values[key])
            for name, values in logged.items()
            if key in values
        ]
        is_percent = key.endswith("accuracy")
        if is_percent:
            curves = [(name, place, [100 * v for v in values]) for name, place, values in curves]
        label = _words(key) + (" in %" if is_percent else "")
        drawn.append((_words(key), charts.learning_curves(curves, label, is_percent=is_percent)))
    for name, values in logged.items():
        losses = [key for key in values if _is_loss(key)]
        curves = [(_words(key), place, values[key]) for place, key in enumerate(losses)]
        if curves:
            title = f"losses of {name}, not comparable with others"
            drawn.append((title, charts.learning_curves(curves, "loss")))
    return drawn


def _is_loss(key):
    return key.endswith("loss")


def _is_of_training(key):
    return not key.startswith(("held_out_", "val_"))


def _words(key):
    return key.replace("held_out_", "held-out ").replace("val_", "validation ").replace("_", " ")
