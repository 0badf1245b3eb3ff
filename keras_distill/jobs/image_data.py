"""The images of a job: folders of classes, or arrays."""

import dataclasses
import pathlib

import keras
import numpy as np
import xxhash

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_MAX_BYTES = 8 * 2**30


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """Images in memory.

    Args:
        pixels: uint8 `(images, height, width, channels)`.
        labels: int32 `(images,)`, or None.
        class_names: Tuple of str, or None.
        broken: Tuple of the files that could not be read.
    """

    pixels: np.ndarray
    labels: np.ndarray | None = None
    class_names: tuple | None = None
    broken: tuple = ()

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, places):
        return dataclasses.replace(self, pixels=self.pixels[places], labels=self.labels[places])


def read_labelled(path, size, class_names=None):
    """Reads a folder with a folder for each class, or an .npz file with x and y.

    Args:
        path: The folder or the file.
        size: `(height, width)` to scale to. None: the arrays' own, of a folder the first image's.
        class_names: Those of the training images; None: the folders' names, sorted.

    Raises:
        ValueError: If nothing is there, there is another class, or it is too much for memory.
    """
    path = pathlib.Path(path)
    if path.suffix == ".npz":
        pixels, labels = _read_arrays(path, ("x", "y"))
        labels = labels.reshape(-1).astype("int32")
        if len(labels) != len(pixels) or labels.min(initial=0) < 0:
            raise ValueError(
                f"{path} must have one class index of at least 0 in y for each image in x. "
                f"Received: {len(pixels)} images, {len(labels)} labels"
            )
        names = class_names or tuple(map(str, range(labels.max(initial=0) + 1)))
        if labels.max(initial=0) >= len(names):
            raise ValueError(
                f"{path} must have the classes of the training images, {len(names)}. Received: a "
                f"label of {labels.max()}"
            )
        return Images(_scaled(pixels, size), labels, names)
    folders = sorted(folder for folder in _folders(path) if any(_files(folder)))
    names = tuple(folder.name for folder in folders)
    unknown = [] if class_names is None else sorted(set(names) - set(class_names))
    if not names or unknown:
        found = f"other classes: {', '.join(unknown)}" if unknown else "no such folder"
        raise ValueError(
            f"{path} must be a folder with a folder of images for each class, those of the "
            f"training images. Received: {found}"
        )
    class_names = class_names or names
    files = [(file, class_names.index(f.name)) for f in folders for file in _files(f)]
    pixels, kept, broken = _read_files([file for file, _ in files], size)
    labels = np.array([label for _, label in files], "int32")[kept]
    return Images(pixels, labels, class_names, broken)


def read_unlabelled(path, size):
    """Reads all images below a folder, or x of an .npz file."""
    path = pathlib.Path(path)
    if path.suffix == ".npz":
        return Images(_scaled(_read_arrays(path, ("x",))[0], size))
    if not path.is_dir():
        raise ValueError(f"unlabelled must be a folder of images or an .npz file. Received: {path}")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES)
    pixels, _, broken = _read_files(files, size)
    return Images(pixels, broken=broken)


def fingerprint(images):
    """A hash of pixels and labels."""
    digest = xxhash.xxh3_128(np.ascontiguousarray(images.pixels))
    if images.labels is not None:
        digest.update(images.labels.astype("<i4").tobytes())
    return digest.hexdigest()


def num_duplicates(train, test):
    """Number of test images that are training images, too."""
    known = {xxhash.xxh3_128_digest(image.tobytes()) for image in train.pixels}
    return sum(xxhash.xxh3_128_digest(image.tobytes()) in known for image in test.pixels)


def without(images, others):
    """The pixels of the images that are not among the others."""
    known = {xxhash.xxh3_128_digest(image.tobytes()) for image in others.pixels}
    is_new = [xxhash.xxh3_128_digest(image.tobytes()) not in known for image in images.pixels]
    return images.pixels[np.array(is_new)]


def _read_arrays(path, names):
    if not path.is_file():
        raise ValueError(f"An .npz file must be there. Received: {path}, which is not.")
    with np.load(path) as arrays:
        if missing := [name for name in names if name not in arrays]:
            raise ValueError(
                f"{path} must have the arrays {', '.join(names)}. Received: {sorted(arrays)}; "
                f"without {', '.join(missing)}"
            )
        pixels, *rest = (arrays[name] for name in names)
    pixels = pixels[..., None] if pixels.ndim == 3 else pixels
    if pixels.ndim != 4 or pixels.dtype != np.uint8 or len(pixels) == 0:
        raise ValueError(
            f"{path} must have images in x, uint8 (images, height, width, channels). Received: "
            f"{pixels.dtype} {pixels.shape}"
        )
    return pixels, *rest


def _folders(path):
    return [folder for folder in path.iterdir() if folder.is_dir()] if path.is_dir() else []


def _files(folder):
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)


def _read_files(files, size):
    """Pixels of the files that can be read, their places, and the files that cannot."""
    rows, kept, broken = [], [], []
    for place, file in enumerate(files):
        try:
            image = keras.utils.load_img(file, target_size=size)
        except (OSError, SyntaxError, ValueError):
            broken.append(str(file))
            continue
        size = size or (image.height, image.width)
        _check_bytes(len(files), size)
        if (image.height, image.width) != size:
            image = image.resize((size[1], size[0]))
        rows.append(np.asarray(image, "uint8"))
        kept.append(place)
    if not rows:
        raise ValueError(f"There must be an image that can be read. Received: {len(files)} files")
    return np.stack(rows), np.array(kept), tuple(broken)


def _scaled(pixels, size):
    if size is None or pixels.shape[1:3] == tuple(size):
        return pixels
    _check_bytes(len(pixels), size)
    scaled = keras.ops.image.resize(pixels.astype("float32"), size)
    return np.clip(np.round(scaled), 0, 255).astype("uint8")


def _check_bytes(num_images, size):
    height, width = size
    num_bytes = 3 * num_images * height * width
    if num_bytes > _MAX_BYTES:
        raise ValueError(
            f"The images must fit in memory, {_MAX_BYTES / 2**30:.0f} GiB. Received: "
            f"{num_images:,} images of {height} x {width}, {num_bytes / 2**30:.0f} GiB. Give a "
            "smaller image_size."
        )
