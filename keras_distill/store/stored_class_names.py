"""Names of the classes in a store's outputs, and their order in the data."""

import keras

from keras_distill.layers.class_names import class_names_of


def names_of_teacher(teacher):
    """The class names that a teacher itself carries, as a tuple; or None."""
    return class_names_of(teacher) if isinstance(teacher, keras.Model) else None


def names_of_data(dataset):
    """The names of a data set's classes by class index, as a tuple; None without names.

    `text.Examples` and the result of `keras.utils.image_dataset_from_directory` have names.
    """
    names = getattr(dataset, "class_names", None)
    return tuple(map(str, names)) if names else None


def are_of_output(names, shape):
    """Whether there is a name for each class of an output.

    Args:
        names: Tuple of str.
        shape: Shape of the output for one example; None without an output.
    """
    if not shape:
        return False
    return shape[-1] == len(names) or (shape[-1] == 1 and len(names) == 2)


def check_order(owner, names, dataset):
    """Raises `ValueError` if the labels of a data set count the classes in another order.

    Args:
        owner: The owner of the names, for the error.
        names: Names of the classes in the order of the outputs, or None.
        dataset: The data set. It may lack the last classes.
    """
    of_data = names_of_data(dataset)
    if names is None or of_data is None or of_data == tuple(names)[: len(of_data)]:
        return
    raise ValueError(
        f"dataset must have its classes in the order of {owner}, or the student is taught others. "
        f"Received: {_listed(of_data)}; {owner} has {_listed(names)}. Read the data with "
        "class_names=[...], the names in that order."
    )


def _listed(names):
    return ", ".join(map(repr, names[:8])) + (" ..." if len(names) > 8 else "")
