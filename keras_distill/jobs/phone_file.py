"""The phone's file of a job: what is trained is not thrown away because one mode loses too much."""

from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill.export import export_tflite

# In place of a mode whose file differs too much from Keras: one that differs less.
_NEXT = {
    "int8": "dynamic",
    "int16x8": "dynamic",
    "int4": "dynamic",
    "dynamic": "float16",
    "float16": "none",
}


def export_phone_file(model, *, quantization, **settings):
    """`export_tflite`, in the next mode if it refuses the file, which only its check can tell.

    Args:
        model: The trained student.
        quantization: The mode that is asked for.
        **settings: Those of `export_tflite`, which `check_tflite` has accepted.

    Returns:
        A tuple of sentences that say what is written in place of it.
    """
    asked, reason = quantization, None
    while True:
        try:
            export_tflite(model, quantization=quantization, **settings)
            break
        except ValueError as error:
            if quantization not in _NEXT:
                raise
            reason = reason or one_line(error)
            quantization = _NEXT[quantization]
    if reason is None:
        return ()
    return (
        f"{printable(settings['path'])} is written in the mode {quantization!r}, and not in "
        f"{asked!r}, whose file was refused: {reason}",
    )
