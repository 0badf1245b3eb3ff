"""Reads a picture file: upright, with 8 bits, and with the channels that a teacher reads."""

import pathlib
import warnings

import numpy as np
from PIL import Image

from keras_distill._arguments.printable import one_line

# Formats are recognised by a file's contents, not its name. These are left out: drawings (EPS
# starts a program, WMF), IPTC, which may contain a drawing, films, and measurements, whose values
# have no range (FITS, SPIDER, MCIDAS). HEIF works if pillow_heif has registered it.
_RASTER_FORMATS = (
    *("PNG", "JPEG", "MPO", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM"),
    *("ICO", "ICNS", "CUR", "PCX", "DCX", "PSD", "QOI", "SGI", "SUN", "DDS", "BLP", "FTEX", "FLI"),
    *("GBR", "IM", "IMT", "MSP", "PCD", "PIXAR", "XBM", "XPM", "XVTHUMB"),
)
# TGA files have no signature at the beginning, so their name must show the format.
_TGA, _TGA_SUFFIXES = "TGA", (".tga", ".icb", ".vda", ".vst")
_MODES = {1: "L", 3: "RGB"}
_ORIENTATION, _BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 0x0112, 258, 262, 0
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_picture(path, channels):
    """Reads a picture as a person sees it; if there are several frames, the first.

    As in Keras, alpha is dropped, and colours are converted to gray; 16 bits are reduced to their
    upper 8. Unlike in Keras, the picture is rotated according to its EXIF data.

    Args:
        path: A `pathlib.Path`.
        channels: 1 (gray) or 3 (RGB).

    Returns:
        uint8 `(height, width, channels)`.

    Raises:
        ValueError: If the picture cannot be read, is damaged, or has more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`. The message has the reason, but not the path.
    """
    if not path.is_file():
        raise ValueError("not a file: a pipe, a device, or a link to nothing")
    try:
        with warnings.catch_warnings():
            # Pillow warns if it guesses the meaning of a damaged file.
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            # Some cameras write such files, whose main picture is complete.
            warnings.filterwarnings("ignore", "Image appears to be a malformed MPO file")
            with Image.open(path, formats=_formats(path)) as image:
                image.load()
                pixels = _pixels(image, _MODES[channels])
    except Image.UnidentifiedImageError:
        raise ValueError("not a picture in a raster format that Pillow reads") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except Exception as error:
        # Any part of Pillow may fail, in any way, if a file is damaged.
        raise ValueError(f"cannot be read, {type(error).__name__}: {one_line(error)}") from None
    return pixels.reshape(*pixels.shape[:2], channels)


def _formats(path):
    Image.init()
    names = [name for name in _RASTER_FORMATS if name in Image.OPEN]
    return [*names, _TGA] if pathlib.Path(path).suffix.lower() in _TGA_SUFFIXES else names


def _pixels(image, mode):
    method = _UPRIGHT.get(image.getexif().get(_ORIENTATION))
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_upper_bits(image))
    # Pillow would try to convert the transparent colour, too.
    image.info.pop("transparency", None)
    image = image.convert(mode)
    return np.asarray(image if method is None else image.transpose(method))


def _upper_bits(image):
    """Gray with 16 bits, or as many as a TIFF file says, in 8 bits; Pillow would clip at 255."""
    is_16_bit = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
    if not is_16_bit:
        raise ValueError(f"its values are in mode {image.mode}, in which white is not known")
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, (16,))[0]
    values = np.asarray(image)
    if 0 < values.max() < 2 ** (bits - 8):
        raise ValueError(
            f"its values go to {values.max()} of {2**bits - 1}: all would be black. Save it with 8 "
            "bits"
        )
    values = (values >> (bits - 8)).astype("uint8")
    return 255 - values if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else values
