"""What Pillow, or a person, sees in a picture is what a job reads."""

import io
import os
import struct
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_distill.jobs.images.picture import read_picture

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype="uint8")
GRAY_16 = (np.arange(12 * 20).reshape(12, 20) * 270).astype("uint16")


def saved(path, image=None, **how):
    image = Image.fromarray(PIXELS) if image is None else image
    image.save(path, **how)
    return path


def as_keras(path, channels=3):
    """How `image_dataset_from_directory` reads it."""
    content = tf.io.read_file(str(path))
    return tf.image.decode_image(content, channels, expand_animations=False).numpy()


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        *(("PNG", {}), ("BMP", {}), ("DIB", {}), ("PPM", {}), ("SGI", {}), ("PCX", {})),
        *(("TIFF", {"compression": name}) for name in ("raw", "tiff_lzw", "tiff_deflate")),
        *(("WEBP", {"lossless": True}), ("JPEG2000", {}), ("DDS", {}), ("IM", {}), ("QOI", {})),
        *(("ICO", {"sizes": [(20, 12)]}),),
    ],
)
def test_formats_by_their_contents(kind, how, tmp_path):
    """With the name of another format, or none."""
    for name in ("picture", "picture.png", "picture.txt"):
        path = saved(tmp_path / name, format=kind, **how)
        np.testing.assert_array_equal(read_picture(path, 3), PIXELS)


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "AVIF", "WEBP", "GIF"])
def test_formats_that_lose_something(kind, tmp_path):
    image = Image.fromarray(PIXELS).resize((200, 120))
    path = saved(tmp_path / "picture", image, format=kind)
    with Image.open(path) as opened:
        expected = np.asarray(opened.convert("RGB"))
    np.testing.assert_array_equal(read_picture(path, 3), expected)
    assert np.abs(expected.astype(int) - np.asarray(image)).mean() < 12


def test_tga_needs_its_name(tmp_path):
    """Nothing in such a file tells what it is."""
    path = saved(tmp_path / "a.tga")
    np.testing.assert_array_equal(read_picture(path, 3), PIXELS)
    with pytest.raises(ValueError, match="not a picture"):
        read_picture(path.rename(tmp_path / "a.png"), 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright(kind, orientation, tmp_path):
    """Turned and mirrored as viewers do it: dark above and left, whatever the file's rows are."""
    upright = np.full((48, 64), 200, "uint8")
    upright[:16], upright[:, :16] = 100, 20
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = Image.fromarray(upright).convert("RGB")
    if orientation in back:
        image = image.transpose(back[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a", image, format=kind, exif=exif)
    read = read_picture(path, 3).astype(int)
    assert read.shape == (48, 64, 3)
    # The whole parts of 8 x 8 pixels: JPEG is not exact at edges.
    np.testing.assert_allclose(read[4::8, 4::8, 0], upright[4::8, 4::8], atol=8)


class TestModes:
    """Each as Keras decodes it, where Keras does, in one channel and in three."""

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_png(self, mode, channels, tmp_path):
        image = Image.fromarray(PIXELS).convert("RGBA")
        image.putalpha(Image.fromarray(PIXELS[..., 0]))
        path = saved(tmp_path / "a.png", image.convert(mode))
        # libpng and Pillow weigh colours for gray with other numbers.
        tolerance = 3 if channels == 1 and mode in ("P", "RGB", "RGBA") else 0
        expected = as_keras(path, channels).astype(int)
        np.testing.assert_allclose(read_picture(path, channels), expected, atol=tolerance)

    @pytest.mark.parametrize("transparency", [7, bytes([0, 128, 255])])
    def test_a_palette_with_transparency(self, transparency, tmp_path):
        image = Image.fromarray(PIXELS).quantize(16)
        expected = np.asarray(image.convert("RGB"))
        path = saved(tmp_path / "a.png", image, transparency=transparency)
        np.testing.assert_array_equal(read_picture(path, 3), expected)
        np.testing.assert_array_equal(read_picture(path, 3), as_keras(path))

    def test_cmyk(self, tmp_path):
        image = Image.fromarray(PIXELS).resize((200, 120)).convert("CMYK")
        path = saved(tmp_path / "a.jpg", image, quality=95)
        difference = np.abs(read_picture(path, 3).astype(int) - as_keras(path))
        assert difference.mean() < 2

    @pytest.mark.parametrize("suffix", ["png", "tif", "pgm", "jp2"])
    def test_16_bits(self, suffix, tmp_path):
        """Not cut at 255, which is white already at a 256th of the range."""
        path = saved(tmp_path / f"a.{suffix}", Image.fromarray(GRAY_16))
        for channels in (1, 3):
            np.testing.assert_array_equal(
                read_picture(path, channels), np.repeat((GRAY_16 >> 8)[..., None], channels, 2)
            )
        if suffix == "png":
            np.testing.assert_array_equal(read_picture(path, 1), as_keras(path, 1))

    def test_16_bits_where_white_is_0(self, tmp_path):
        path = saved(tmp_path / "a.tif", Image.fromarray(GRAY_16), tiffinfo={262: 0})
        np.testing.assert_array_equal(read_picture(path, 1)[..., 0], 255 - (GRAY_16 >> 8))

    def test_12_bits(self, tmp_path):
        """As some cameras and microscopes write TIFF: two values in three bytes."""
        values = np.array([[0, 1000, 2048, 4095], [16, 32, 4080, 255]])
        packed = b"".join((int(a) << 12 | int(b)).to_bytes(3) for a, b in values.reshape(-1, 2))
        short, long = 3, 4
        tags = [
            *((256, long, 4), (257, long, 2), (258, short, 12), (259, short, 1)),
            *((262, short, 1), (273, long, 8), (277, short, 1), (278, long, 2)),
            (279, long, len(packed)),
        ]
        entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
        header = b"II*\0" + struct.pack("<I", 8 + len(packed))
        content = header + packed + struct.pack("<H", len(tags)) + entries + bytes(4)
        (tmp_path / "a.tif").write_bytes(content)
        np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", 1)[..., 0], values >> 4)

    def test_16_bits_of_which_8_are_used(self, tmp_path):
        """They were all black."""
        path = saved(tmp_path / "a.png", Image.fromarray(np.full((2, 3), 255, "uint16")))
        with pytest.raises(ValueError, match="go to 255 of 65535: all would be black"):
            read_picture(path, 1)
        path = saved(tmp_path / "a.png", Image.fromarray(np.zeros((2, 3), "uint16")))
        assert not read_picture(path, 1).any()

    def test_fewer_bits(self, tmp_path):
        image = Image.fromarray((PIXELS[..., 0] // 16 * 17).astype("uint8"))
        palette = image.quantize(16)
        path = saved(tmp_path / "a.png", palette, bits=4)
        np.testing.assert_array_equal(read_picture(path, 3), as_keras(path))

    def test_values_without_a_range(self, tmp_path):
        for values in (GRAY_16 / 65535, GRAY_16.astype("int32")):
            path = saved(
                tmp_path / "a.tif", Image.fromarray(values.astype(values.dtype.name[:-2] + "32"))
            )
            with pytest.raises(ValueError, match="in which white is not known"):
                read_picture(path, 3)

    @pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
    def test_the_first_frame(self, kind, tmp_path):
        frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "lime")]
        path = saved(
            tmp_path / "a", frames[0], format=kind, save_all=True, append_images=frames[1:]
        )
        np.testing.assert_allclose(read_picture(path, 3), np.asarray(frames[0]), atol=2)


class TestLeftOut:
    def test_a_file_that_is_cut_short(self, tmp_path):
        path = saved(tmp_path / "a.png")
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(ValueError, match="cannot be read, OSError"):
            read_picture(path, 3)

    def test_too_many_pixels(self, tmp_path, monkeypatch):
        """Between Pillow's warning and twice as much, and above: before it is decoded."""
        path = saved(tmp_path / "a.png")
        for limit in (200, 20):
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
            with pytest.raises(ValueError, match=f"more than {limit} pixels"):
                read_picture(path, 3)

    def test_no_program_is_started_for_a_drawing(self, tmp_path, monkeypatch):
        """By Pillow an EPS file is given to Ghostscript, whatever its name is."""
        (tmp_path / "a.png").write_bytes(
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
        )
        with Image.open(tmp_path / "a.png") as image:
            assert image.format == "EPS"
        with pytest.raises(ValueError, match="not a picture in a raster format"):
            read_picture(tmp_path / "a.png", 3)

    def test_what_is_no_file(self, tmp_path):
        """A pipe would wait for ever."""
        os.mkfifo(tmp_path / "pipe.png")
        (tmp_path / "link.png").symlink_to(tmp_path / "nothing.png")
        for name in ("pipe.png", "link.png"):
            with pytest.raises(ValueError, match="not a file"):
                read_picture(tmp_path / name, 3)

    def test_what_pillow_warns_of(self, tmp_path):
        """Exif data that are cut short may have said that the picture is turned."""
        exif = Image.Exif()
        exif[0x0112], exif[0x010E] = 6, "a long description of the picture"
        content = io.BytesIO()
        Image.fromarray(PIXELS).save(content, "JPEG", exif=exif.tobytes()[:-40])
        (tmp_path / "a.jpg").write_bytes(content.getvalue())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError, match="cannot be read, UserWarning"):
                read_picture(tmp_path / "a.jpg", 3)

    def test_reasons_can_be_printed(self, tmp_path):
        (tmp_path / "a.ppm").write_bytes(b"P6\n\x1b[31m 2 255\n")
        with pytest.raises(ValueError, match=r"cannot be read|not a picture") as refused:
            read_picture(tmp_path / "a.ppm", 3)
        assert str(refused.value).isprintable()
