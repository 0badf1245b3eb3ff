"""The phone's file of a job: if one mode loses too much accuracy, another mode is tried."""

from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable
from keras_distill.export.tflite.export import export_tflite

# If a mode's file differs too much from Keras, the next mode differs less.
_NEXT = {
    "int8": "dynamic",
    "int16x8": "dynamic",
    "int4": "dynamic",
    "dynamic": "float16",
    "float16": "none",
}


def export_phone_file(model, *, quantization, **settings):
    """Calls `export_tflite`, and tries the next mode if the check refuses the file.

    Args:
        model: The trained student.
        quantization: The requested mode.
        **settings: Other arguments of `export_tflite`, which `check_tflite` has accepted.

    Returns:
        A tuple of sentences that say which mode was written instead.
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
