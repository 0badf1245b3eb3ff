"""The files in a folder of pictures, and the files that are left out."""

import os
import pathlib
import re

from keras_distill._arguments.names import clean_name
from keras_distill._arguments.printable import printable
from keras_distill._files.found_at import found_at

_SPLITS = {
    *("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"),
    *("pred", "prediction", "holdout", "unlabelled", "unlabeled"),
}
_WORD = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def files_below(folder):
    """All files below a folder, in subfolders as well; hidden names are skipped.

    Args:
        folder: A `pathlib.Path`.

    Returns:
        The sorted paths, and a list of folders that cannot be listed, each with the reason.
    """
    files, left_out, folders = [], [], [(folder, ())]
    while folders:
        current, above = folders.pop()
        real = os.path.realpath(current)
        if real in above:
            left_out.append(line(current, "a link to a folder that it lies in"))
            continue
        try:
            found = _visible(current)
        except OSError as error:
            left_out.append(line(current, f"the folder cannot be listed: {error.strerror}"))
            continue
        for path in found:
            if path.is_dir():
                folders.append((path, (*above, real)))
            else:
                files.append(path)
    return sorted(files), left_out


def files_by_class(path):
    """The files of each class, from a folder with a folder for each class.

    Args:
        path: A `pathlib.Path`.

    Returns:
        A dict from the classes' names, sorted, to paths; and a list of what is left out, each
        entry with the reason.

    Raises:
        ValueError: If there is no such folder, or its folders are parts of a data set.
    """
    if not path.is_dir():
        raise ValueError(
            f"{printable(path)} must be a folder with a folder of images for each class, or an "
            f".npz file. Received: what {found_at(path)}."
        )
    found = _visible(path)
    folders = sorted(folder for folder in found if folder.is_dir())
    left_out = [line(file, "in no folder of a class") for file in found if file not in folders]
    files = {}
    for folder in folders:
        found, missed = files_below(folder)
        left_out += missed
        if found:
            # Names that look equal but differ, as in the bytes of an é, are the same class.
            files.setdefault(clean_name(folder.name), []).extend(found)
        else:
            left_out.append(line(folder, "a folder without a file"))
    files = dict(sorted(files.items()))
    if not files:
        raise ValueError(
            f"{path} must be a folder with a folder of images for each class, those of the "
            f"training images. Received: no folder with images in it{_first(left_out)}"
        )
    if _are_parts(files):
        raise ValueError(
            f"{path} must have a folder for each class. Received: {', '.join(files)}, which are "
            "parts of a data set. Give the folder of one part, and another as test."
        )
    for name, found in files.items():
        # This class contains only folders, whose names are all names of other classes.
        inside = {_below(path, file) for file in found}
        if inside <= {*files} - {name}:
            raise ValueError(
                f"{path} must have each class in one folder. Received: {name}, in which there are "
                f"{', '.join(sorted(inside))} again. Move it away, or give it as train or test."
            )
    return files, left_out


def _are_parts(names):
    """Whether these are names of parts of a data set, such as training_set and test_set."""
    parts = [{word.lower() for word in _WORD.findall(name)} & _SPLITS for name in names]
    # A single common word may be the subject of all classes, such as trains.
    return len(parts) > 1 and all(parts) and len(set().union(*parts)) > 1


def _below(path, file):
    """Name of the subfolder of its class's folder that has a file; None without subfolder."""
    parts = file.relative_to(path).parts
    return clean_name(parts[1]) if len(parts) > 2 else None


def line(path, reason):
    """The message about a file that is left out."""
    return f"{printable(str(path))}: {reason}"


def _visible(folder):
    return sorted(path for path in pathlib.Path(folder).iterdir() if path.name[0] != ".")


def _first(left_out):
    return f", {len(left_out)} left out, such as {left_out[0]}" if left_out else ""
