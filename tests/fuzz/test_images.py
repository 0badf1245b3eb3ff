"""Damaged pictures are left out, with their names; damaged arrays are refused."""

import mutations
import numpy as np
import pytest
from PIL import Image

from keras_distill.jobs.images import image_data

pytestmark = pytest.mark.long

# Of those that photos come in more rounds than of the others.
COMMON = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
OTHERS = (
    *("AVIF", "JPEG2000", "MPO", "PPM", "ICO", "ICNS", "PCX", "QOI", "SGI", "DDS", "DIB", "IM"),
    *("MSP", "XBM", "TGA"),
)
OPTIONS = {
    "TIFF": ({"compression": name} for name in ("raw", "tiff_lzw", "jpeg", "packbits")),
    "PNG": ({"mode": name} for name in ("P", "LA", "I;16", "1")),
    "JPEG": ({"mode": "CMYK"}, {"progressive": True}),
    "GIF": ({"save_all": True},),
    "WEBP": ({"lossless": True}, {"save_all": True}),
    "BMP": ({"mode": "P"}, {"mode": "1"}),
    "PPM": ({"mode": "L"}, {"mode": "I;16"}, {"mode": "1"}),
    "SGI": ({"mode": "L"},),
}
CASES = [
    pytest.param(kind, how, marks=pytest.mark.rounds(100 if kind in COMMON else 50))
    for kind in (*COMMON, *OTHERS)
    for how in ({}, *OPTIONS.get(kind, ()))
]


def read_pictures(path):
    images = image_data.read_unlabelled(path, (8, 8))
    # The other picture is always there; what is damaged is read or listed.
    assert len(images) + len(images.broken) == len(list(path.iterdir())), images.broken
    return len(images), [line.replace(str(path), "") for line in images.broken]


def read_labelled(path):
    images = image_data.read_labelled(path, (8, 8), max_bytes=10**6)
    return images.pixels, images.labels, images.class_names


@pytest.mark.parametrize(("kind", "how"), CASES)
def test_pictures(kind, how, fuzz, tmp_path):
    """677 of 3,000 went past the list of what is left out: errors, warnings, no name."""
    how = dict(how)
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 256, (3, 4, 3)), np.ones((10, 10, 1))).astype("uint8")
    image, mode = Image.fromarray(pixels), how.pop("mode", "RGB")
    mode = {"MSP": "1", "XBM": "1"}.get(kind, mode)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype("uint16") * 257)
    elif mode != "RGB":
        image = image.convert(mode)
    if "save_all" in how:
        how["append_images"] = [image.rotate(180)]
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture that lies on its side"
    if kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "MPO"):
        how["exif"] = exif
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "whole.png")
    image.save(folder / ("damaged.tga" if kind == "TGA" else "damaged.bin"), kind, **how)
    outcomes = fuzz(read_pictures, folder, files="damaged.*")
    assert set(outcomes) == {"read"}


@pytest.mark.rounds(300)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays(save, fuzz, tmp_path):
    """Bytes that were changed change no pixel and no label without an error."""
    pixels = np.random.default_rng(0).integers(0, 256, (10, 6, 6, 3), dtype="uint8")
    save(tmp_path / "d.npz", x=pixels, y=np.arange(10) % 3)
    fuzz(read_labelled, tmp_path / "d.npz", mutate=mutations.of_bytes, is_checked=True)


@pytest.mark.rounds(200)
@pytest.mark.parametrize("kind", ["int64", "float32", "<U3"])
def test_members_of_arrays(kind, fuzz, tmp_path):
    """Headers and values that were changed before the checksums were made."""
    pixels = np.random.default_rng(0).integers(0, 256, (10, 6, 6, 3), dtype="uint8")
    np.savez(tmp_path / "d.npz", x=pixels, y=(np.arange(10) % 3).astype(kind))
    fuzz(read_labelled, tmp_path / "d.npz")
