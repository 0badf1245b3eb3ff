"""One picture file: upright, in 8 bits, in the channels that a teacher reads."""

import pathlib
import warnings

import numpy as np
from PIL import Image

from keras_distill._arguments.printable import one_line

# By what is in a file, whatever its name is. Not here: drawings (EPS starts a program, WMF), IPTC,
# whose contents may be a drawing, films, and measurements, whose values have no range (FITS,
# SPIDER, MCIDAS). HEIF is there if pillow_heif has registered it.
_RASTER_FORMATS = (
    *("PNG", "JPEG", "MPO", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM"),
    *("ICO", "ICNS", "CUR", "PCX", "DCX", "PSD", "QOI", "SGI", "SUN", "DDS", "BLP", "FTEX", "FLI"),
    *("GBR", "IM", "IMT", "MSP", "PCD", "PIXAR", "XBM", "XPM", "XVTHUMB"),
)
# Its files do not begin with anything of their own: the name has to say it.
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
    """Reads a picture as a person sees it; of several frames the first.

    Alpha is dropped, and colours become gray, as Keras does it; 16 bits become 8 by their upper
    half. Unlike Keras, the picture is turned as its EXIF data say.

    Args:
        path: A `pathlib.Path`.
        channels: 1 (gray) or 3 (RGB).

    Returns:
        uint8 `(height, width, channels)`.

    Raises:
        ValueError: With the reason, without the path, if it cannot be read, is damaged, or has
            more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    if not path.is_file():
        raise ValueError("not a file: a pipe, a device, or a link to nothing")
    try:
        with warnings.catch_warnings():
            # Pillow warns where it guesses what a damaged file means.
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            # Some cameras write such files: the main picture is whole.
            warnings.filterwarnings("ignore", "Image appears to be a malformed MPO file")
            with Image.open(path, formats=_formats(path)) as image:
                image.load()
                pixels = _pixels(image, _MODES[channels])
    except Image.UnidentifiedImageError:
        raise ValueError("not a picture in a raster format that Pillow reads") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except Exception as error:
        # Of a damaged file any part of Pillow may fail, in any way.
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
    # Pillow would look for a colour of the result that stands for it.
    image.info.pop("transparency", None)
    image = image.convert(mode)
    return np.asarray(image if method is None else image.transpose(method))


def _upper_bits(image):
    """Gray of 16 bits, or of as many as a TIFF file says, in 8; Pillow would cut it at 255."""
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
