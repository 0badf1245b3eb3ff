"""Images of an .npz file: their pixels, and the classes in y."""

import re

import numpy as np

from keras_distill._arguments.names import clean_name
from keras_distill._arguments.printable import printable

NO_LABEL = -1
# Number of images that are checked at once.
_BLOCK = 1024
_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")
_DIGITS = re.compile(r"\d+")


def to_pixels(path, x, channels):
    """The images of x as uint8 `(images, height, width, channels)`.

    Args:
        path: The file, for errors.
        x: `(images, height, width, channels)`, or `(images, height, width)` for gray images; whole
            numbers from 0 to 255 of any type.
        channels: Number of channels that the teacher reads; None means any.

    Raises:
        ValueError: If x is something else.
    """
    given = x.dtype, x.shape
    x = x[..., None] if x.ndim == 3 else x
    problem = None
    if x.ndim != 4 or x.size == 0:
        problem = ""
    elif x.dtype != np.uint8 or x.max() <= 1:
        problem = _why_not_pixels(x)
    if problem is not None:
        raise ValueError(
            f"{path} must have images in x, uint8 (images, height, width, channels), with pixels "
            f"from 0 to 255. Received: {given[0]} {given[1]}{problem}"
        )
    if channels not in (None, x.shape[3]):
        raise ValueError(
            f"{path} must have images of the channels that the teacher reads, {channels}, in x. "
            f"Received: images of shape {x.shape[1:]}"
        )
    return x if x.dtype == np.uint8 else x.astype("uint8")


def _why_not_pixels(x):
    """Words for the error if x are not pixels; None if they are whole numbers from 0 to 255."""
    if x.dtype.kind not in "iuf":
        return ""
    low, high, are_whole = np.inf, -np.inf, True
    for start in range(0, len(x), _BLOCK):
        part = x[start : start + _BLOCK]
        low, high = np.minimum(low, part.min()), np.maximum(high, part.max())
        are_whole = are_whole and (x.dtype.kind != "f" or bool(np.all(part == np.rint(part))))
    # Only zeros and ones are probably pixels divided by 255: no picture is that black.
    if are_whole and low >= 0 and 1 < high <= 255:
        return None
    advice = ""
    if low >= 0 and high <= 1:
        advice = " Save np.rint(255 * x).astype('uint8')"
        advice += "." if x.dtype.kind == "f" else ", of the x that has not been divided."
    return f", from {low:.6g} to {high:.6g}.{advice}"


def to_classes(path, y, num_images, class_names=None):
    """Class indices of the labels in y.

    Args:
        path: The file, for errors.
        y: One label for each image: whole numbers of any type, `(images,)` or `(images, 1)`;
            names of classes; or one-hot rows. The number -1 means no label.
        num_images: Number of images.
        class_names: Names of the training images' classes; None: all are in y. Numbers in y are
            looked up in these names if all names are numbers; otherwise they are indices.

    Returns:
        int32 `(images,)`, and a tuple of the classes' names.

    Raises:
        ValueError: If y is something else, or a class has no image.
    """
    labels = y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y
    if len(y) != num_images if y.ndim else True:
        raise ValueError(
            f"{path} must have one label in y for each image in x. Received: {num_images} images, "
            f"labels of shape {y.shape}"
        )
    if labels.dtype.kind in "US":
        return _from_names(path, _texts(path, labels), class_names)
    if labels.ndim == 2:
        labels, num_classes = _from_one_hot(path, labels), labels.shape[1]
    else:
        labels, num_classes = _whole_numbers(path, labels), None
    return _from_numbers(path, labels, num_classes, class_names)


def _texts(path, labels):
    if labels.ndim != 1:
        raise _refused(path, f"{labels.dtype} {labels.shape}")
    try:
        texts = np.char.decode(labels, "utf-8") if labels.dtype.kind == "S" else labels
        texts = [clean_name(text) for text in texts.tolist()]
    except (UnicodeDecodeError, SystemError):
        # Bytes may have another encoding, and a str array may hold numbers that are no characters.
        raise _refused(path, f"{labels.dtype} {labels.shape}") from None
    if "" in texts:
        raise _refused(path, f"an empty name, of image {texts.index('')}")
    return texts


def _from_names(path, texts, class_names):
    names = class_names or tuple(sorted(set(texts)))
    places = {name: place for place, name in enumerate(names)}
    # As in tables, with two names "-1" can only be a class.
    if class_names is None and str(NO_LABEL) in places and len(places) > 2:
        raise _refused(path, f"the name '{NO_LABEL}', which can be a class or stand for no label")
    if unknown := sorted(set(texts) - set(places)):
        raise ValueError(
            f"{path} must have the classes of the training images, {', '.join(names[:5])}, ... "
            f"Received: {', '.join(map(printable, unknown[:5]))}"
        )
    return np.array([places[text] for text in texts], "int32"), names


def _from_one_hot(path, rows):
    if rows.dtype.kind not in "biuf":
        raise _refused(path, f"{rows.dtype} {rows.shape}")
    ones = rows == 1
    wrong = np.flatnonzero((ones.sum(axis=1) != 1) | ((rows != 0) & ~ones).any(axis=1))
    if len(wrong):
        raise _refused(path, f"the row {printable(str(rows[wrong[0]][:10]))}, which is not one-hot")
    return ones.argmax(axis=1)


def _whole_numbers(path, labels):
    if labels.ndim != 1 or labels.dtype.kind not in "biuf":
        raise _refused(path, f"{labels.dtype} {labels.shape}")
    with np.errstate(invalid="ignore"):
        is_whole = (labels == np.rint(labels)) if labels.dtype.kind == "f" else labels == labels
    wrong = ~is_whole | (labels < NO_LABEL) | (labels > np.iinfo("int32").max)
    if wrong.any():
        raise _refused(path, f"{labels[wrong][0]}, of image {np.flatnonzero(wrong)[0]}")
    return labels.astype("int64")


def _from_numbers(path, labels, num_classes, class_names):
    found = np.unique(labels[labels != NO_LABEL])
    if class_names is None:
        num_classes = num_classes or int(found.max(initial=NO_LABEL)) + 1
        if len(found) < num_classes:
            # The search is short, because the largest label may be a hundred million.
            missing = np.setdiff1d(np.arange(min(num_classes, len(found) + 5)), found)[:5]
            raise ValueError(
                f"{path} must have an image of each class from 0 to {num_classes - 1}, the largest "
                f"label in y. Received: none of {', '.join(map(str, missing))}. Give labels from 0 "
                "without gaps, or the classes' names."
            )
        return labels.astype("int32"), tuple(map(str, range(num_classes)))
    places = _places(path, class_names, is_index=num_classes is not None)
    unknown = [label for label in found.tolist() if label not in places]
    if unknown or num_classes not in (None, len(class_names)):
        what = f"a label of {unknown[-1]}" if unknown else f"{num_classes} columns"
        raise ValueError(
            f"{path} must have the classes of the training images, {len(class_names)}. Received: "
            f"{what} in y"
        )
    places[NO_LABEL] = NO_LABEL
    return np.array([places[label] for label in labels.tolist()], "int32"), tuple(class_names)


def _places(path, class_names, is_index):
    """Dict from labels to class indices: by name if the names are numbers, else by index."""
    numbers = [int(name.split(".")[0]) for name in class_names if _NUMBER.fullmatch(name)]
    if not is_index and numbers and len(set(numbers)) == len(class_names):
        return dict(zip(numbers, range(len(class_names))))
    # As text, "10" comes before "2", and y may use either order. It is also unclear whether 2 is
    # the class with that name or with that index.
    by_number = sorted(class_names, key=lambda name: _DIGITS.sub(lambda d: d[0].zfill(20), name))
    if by_number != list(class_names) or (numbers and not is_index):
        raise ValueError(
            f"{path} must have the names of classes in y, where numbers can be read in two ways. "
            f"Received: {'one-hot rows' if is_index else 'numbers'} for the classes of the "
            f"training images, {', '.join(map(printable, class_names[:12]))}. Save the names: "
            "np.array(names)[y]."
        )
    return {place: place for place in range(len(class_names))}


def _refused(path, found):
    return ValueError(
        f"{path} must have one class for each image in y: its index, its name, or a one-hot row; "
        f"the number -1 stands for no label. Received: {found}"
    )
