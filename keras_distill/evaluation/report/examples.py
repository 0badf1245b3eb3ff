"""How an example of the data is shown: its text or its picture."""

import base64
import io

import keras
import numpy as np

from keras_distill.evaluation.report.cells import Cell

_THUMBNAIL = 64


def example_cell(comparison, place, word=None):
    """The `Cell` of an example; empty if it is neither a text nor a picture.

    Args:
        comparison: The `Comparison`.
        place: Index of the example among those that were compared.
        word: Index of a word of the example, which is shown before the whole; None for none.
    """
    values = _columns(comparison)[0].take(np.array([number_of(comparison, place)]))[0]
    if _columns(comparison)[0].is_text:
        texts = [text.decode("utf-8", "replace") for text in np.ravel(values)]
        if word is None:
            return _text(" | ".join(texts))
        return Cell(texts[word], texts[word].lower(), more=" ".join(texts).strip())
    if word is None and values.ndim == 3 and values.shape[-1] in (1, 3):
        return Cell("", image=_png(values))
    return Cell("" if word is None else f"word {word + 1}", word)


def number_of(comparison, place):
    """Index in the data of an example that was compared."""
    return int(place if comparison.places is None else comparison.places[place])


def _columns(comparison):
    return keras.tree.flatten(comparison.examples)


def _text(text):
    return Cell(text, text.lower())


def _png(pixels):
    pixels = np.nan_to_num(np.asarray(pixels, "float32"), posinf=0, neginf=0)
    low, high = pixels.min(initial=0), pixels.max(initial=0)
    scale = 255 if high <= 1 and low >= 0 else 1
    image = keras.utils.array_to_img(pixels * scale, scale=bool(low < 0 or high > 255))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
