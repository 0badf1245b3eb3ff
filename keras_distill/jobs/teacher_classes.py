"""Reorders the classes of a ready teacher by name, to match the data."""

from keras_distill._arguments.names import clean_name
from keras_distill.layers.class_names import check_class_names
from keras_distill.layers.class_names import class_names_of
from keras_distill.layers.class_names import with_class_names


def in_order_of_data(model, path, class_names, data_names):
    """Reorders a ready teacher's outputs to the classes of the data.

    Args:
        model: The teacher, with as many classes as the data.
        path: The teacher's file, for errors.
        class_names: The caller's names for its outputs, in their order, or None.
        data_names: Names of the data's classes.

    Returns:
        The model, and whether its file itself proves the order of the classes. Names from the
        caller must still be tested on the labels.

    Raises:
        ValueError: If the file and the caller name other classes, or the data has others.
    """
    own = class_names_of(model)
    if class_names is not None:
        check_class_names(class_names)
        # Names are cleaned like the data's: a terminal may send an é as two characters.
        class_names = tuple(map(clean_name, class_names))
    if own is not None and class_names not in (None, own):
        raise ValueError(
            "class_names must be left out for a teacher that names its classes. Received: "
            f"class_names={class_names!r:.200}; {path} has {own!r:.200}"
        )
    names = own or class_names
    if names is None:
        return model, False
    if set(names) != set(data_names):
        others = [name for name in data_names if name not in names]
        unused = [name for name in names if name not in data_names]
        raise ValueError(
            "teacher must know the classes of the training data by their names. Received: "
            f"{path}, with {names!r:.200}; unknown to it: {others!r:.200}; unknown to the data: "
            f"{unused!r:.200}. Rename the classes of the data."
        )
    if own == tuple(data_names):
        return model, True
    order = [names.index(name) for name in data_names]
    return with_class_names(model, list(data_names), order), own is not None
