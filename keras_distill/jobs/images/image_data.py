"""The images of a job: folders of classes, or arrays."""

import dataclasses
import math
import pathlib

import numpy as np
import xxhash

from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at
from keras_distill.jobs.images.image_arrays import NO_LABEL
from keras_distill.jobs.images.image_arrays import to_classes
from keras_distill.jobs.images.image_arrays import to_pixels
from keras_distill.jobs.images.npz import read_arrays
from keras_distill.jobs.images.picture import read_picture
from keras_distill.jobs.images.picture_folders import files_below
from keras_distill.jobs.images.picture_folders import files_by_class
from keras_distill.jobs.images.picture_folders import line
from keras_distill.jobs.images.scaling import scaled

MAX_BYTES = 8 * 2**30


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """Images in memory.

    Args:
        pixels: uint8 `(images, height, width, channels)`.
        labels: int32 `(images,)`, -1 for no label, or None.
        class_names: Tuple of str, or None.
        broken: Tuple of the files and folders that were left out, each with the reason.
    """

    pixels: np.ndarray
    labels: np.ndarray | None = None
    class_names: tuple | None = None
    broken: tuple = ()

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, places):
        return dataclasses.replace(self, pixels=self.pixels[places], labels=self.labels[places])


def read_labelled(path, size, class_names=None, channels=None, max_bytes=MAX_BYTES):
    """Reads a folder with a folder for each class, or an .npz file with x and y.

    Args:
        path: The folder or the file.
        size: `(height, width)` to scale to. None means the images' own size, which must be equal.
        class_names: Classes of the training images; None means the folders' names, sorted.
        channels: Channels that the teacher reads, 1 or 3. None means 3 for files, all for .npz.
        max_bytes: Largest memory for the images.

    Raises:
        ValueError: If there are no images, there is another class, a class has no image, or the
            images need too much memory.
    """
    path = pathlib.Path(path)
    if _is_npz(path):
        x, y = read_arrays(path, ("x", "y"), max_bytes)
        pixels = to_pixels(path, x, channels)
        labels, class_names = to_classes(path, y, len(x), class_names)
        return Images(_scaled(pixels, size, max_bytes), labels, class_names)
    files, left_out = files_by_class(path)
    class_names = class_names or tuple(files)
    if unknown := [name for name in files if name not in class_names]:
        raise ValueError(
            f"{path} must be a folder with a folder of images for each class, those of the "
            f"training images. Received: other classes: {', '.join(unknown)}"
        )
    paths = [file for found in files.values() for file in found]
    labels = np.repeat([class_names.index(name) for name in files], [*map(len, files.values())])
    pixels, kept, broken = _read_files(path, paths, size, channels, max_bytes)
    for name in files:
        label = class_names.index(name)
        if label not in labels[kept]:
            first = broken[np.delete(labels, kept).tolist().index(label)]
            raise ValueError(
                f"{path} must have an image that can be read in the folder of each class. "
                f"Received: none in {printable(name)}; left out are {len(files[name])}, the first "
                f"is {first}"
            )
    return Images(pixels, labels[kept].astype("int32"), class_names, (*left_out, *broken))


def read_unlabelled(path, size, channels=None, max_bytes=MAX_BYTES):
    """Reads all images below a folder, or x of an .npz file; arguments as for `read_labelled`."""
    path = pathlib.Path(path)
    if _is_npz(path):
        pixels = to_pixels(path, *read_arrays(path, ("x",), max_bytes), channels)
        return Images(_scaled(pixels, size, max_bytes))
    if not path.is_dir():
        raise ValueError(
            "unlabelled must be a folder of images or an .npz file. Received: "
            f"{printable(path)}, which {found_at(path)}."
        )
    files, left_out = files_below(path)
    pixels, _, broken = _read_files(path, files, size, channels, max_bytes)
    return Images(pixels, broken=(*left_out, *broken))


def with_and_without_label(images):
    """Lists the images with a label, and then those without, if there are any."""
    has_label = images.labels != NO_LABEL
    if has_label.all():
        return [images]
    return [images[has_label], Images(images.pixels[~has_label])]


def fingerprint(images):
    """A hash of pixels, their shape, labels and the classes' names."""
    digest = xxhash.xxh3_128(np.ascontiguousarray(images.pixels))
    digest.update(repr(images.pixels.shape).encode())
    if images.labels is not None:
        digest.update(images.labels.astype("<i4").tobytes())
        digest.update(repr(images.class_names).encode())
    return digest.hexdigest()


def num_duplicates(train, test):
    """Number of test images that are also training images."""
    known = {xxhash.xxh3_128_digest(image.tobytes()) for image in train.pixels}
    return sum(xxhash.xxh3_128_digest(image.tobytes()) in known for image in test.pixels)


def without(images, others):
    """The pixels of the images that are not among the others."""
    known = {xxhash.xxh3_128_digest(image.tobytes()) for image in others.pixels}
    is_new = [xxhash.xxh3_128_digest(image.tobytes()) not in known for image in images.pixels]
    return images.pixels[np.array(is_new)]


def _is_npz(path):
    return path.suffix.lower() == ".npz"


def _read_files(folder, files, size, channels, max_bytes):
    """Pixels of the readable files, their indices, and why the others cannot be read."""
    channels = channels or 3
    pixels, kept, broken, first = None, [], [], None
    for place, file in enumerate(files):
        try:
            picture = read_picture(file, channels)
        except ValueError as error:
            broken.append(line(file, str(error)))
            continue
        first = first or (file, picture.shape[:2])
        if size is None and picture.shape[:2] != first[1]:
            sizes = [
                f"{name}, {height} x {width}"
                for name, (height, width) in (first, (file, picture.shape[:2]))
            ]
            raise ValueError(
                "image_size must be given for images of several sizes, and a teacher that reads "
                f"any. Received: {printable('; '.join(sizes))}"
            )
        if pixels is None:
            shape = len(files), *(size or first[1]), channels
            _check_bytes(shape, max_bytes)
            pixels = np.empty(shape, "uint8")
        pixels[len(kept)] = scaled(picture[None], size)[0]
        kept.append(place)
    if not kept:
        more = f" in {folder}, the first is {broken[0]}" if broken else f" in {folder}"
        raise ValueError(
            f"There must be an image that can be read. Received: {len(files)} files{more}"
        )
    return pixels[: len(kept)], np.array(kept), tuple(broken)


def _scaled(pixels, size, max_bytes):
    if size is not None:
        _check_bytes((len(pixels), *size, pixels.shape[3]), max_bytes)
    return scaled(pixels, size)


def _check_bytes(shape, max_bytes):
    num_bytes = math.prod(shape)
    if num_bytes > max_bytes:
        num_images, height, width = shape[:3]
        raise ValueError(
            f"The images must fit in memory, {MAX_BYTES / 2**30:.0f} GiB. Received: "
            f"{num_images:,} images of {height} x {width}, {num_bytes / 2**30:.3g} GiB, where "
            f"{max_bytes / 2**30:.3g} GiB are left. Give a smaller image_size."
        )
