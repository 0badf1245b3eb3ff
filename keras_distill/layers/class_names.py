"""The names of a classifier's classes, stored inside the model."""

import keras
from keras import ops

from keras_distill._keras.graph import calls_of
from keras_distill._keras.graph import origin
from keras_distill.layers.strings_to_logits import TextClassifier
from keras_distill.layers.strings_to_logits import in_two_parts

# Layers that keep the order of classes; operations of keras.ops have these names, too.
_KEEPS_PLACES = (
    "Activation",
    "Dropout",
    "Identity",
    "LogSoftmax",
    "Rescaling",
    "Sigmoid",
    "Softmax",
)


@keras.saving.register_keras_serializable(package="keras_distill")
class ClassNames(keras.layers.Identity):
    """Names the classes of its inputs, and can reorder them.

    As the last layer of a classifier it shows which output is which class, even in a .keras file.
    `compare` and the jobs match classes by these names.

    Args:
        class_names: Names of the classes, in the order of the outputs.
        order: The place of each class in the inputs. None means that the inputs have that order.

    Call arguments:
        inputs: `(batch, ..., classes)`; `(batch, ..., 1)` for a single output of two classes.

    Raises:
        ValueError: If the names are not different strings, or there is not one for each class.

    Example:

    >>> import keras
    >>> inputs = keras.Input((4,))
    >>> logits = keras.layers.Dense(2)(inputs)
    >>> model = keras.Model(inputs, ClassNames(["cat", "dog"])(logits))
    >>> class_names_of(model)
    ('cat', 'dog')
    """

    def __init__(self, class_names, order=None, **kwargs):
        super().__init__(**kwargs)
        # Without autocast, logits keep their dtype under any policy.
        self.autocast = False
        check_class_names(class_names)
        self.class_names = tuple(class_names)
        self.order = None if order is None else [int(place) for place in order]

    def build(self, input_shape):
        size = input_shape[-1]
        is_single = size == 1 and len(self.class_names) == 2 and self.order is None
        if size != len(self.class_names) and not is_single:
            raise ValueError(
                f"class_names must have a name for each of {size} classes. Received: "
                f"{len(self.class_names)} names, {self.class_names!r:.200}"
            )
        self.built = True

    def call(self, inputs):
        return inputs if self.order is None else ops.take(inputs, self.order, axis=-1)

    def get_config(self):
        return {
            **super().get_config(),
            "class_names": list(self.class_names),
            "order": self.order,
        }


def check_class_names(class_names):
    """Raises `ValueError` unless these are different strings, at least two."""
    is_list = isinstance(class_names, (list, tuple))
    if (
        not is_list
        or not all(isinstance(name, str) and name for name in class_names)
        or len(set(class_names)) != len(class_names)
        or len(class_names) < 2
    ):
        raise ValueError(
            "class_names must be a list of at least two different names, one for each class. "
            f"Received: class_names={class_names!r:.200}"
        )


def with_class_names(model, class_names, order=None):
    """The same model with `ClassNames` after its only output.

    Args:
        model: A Functional or built Sequential `keras.Model`.
        class_names, order: As in `ClassNames`.

    Returns:
        A `keras.Model`; of a `TextClassifier` another one, whose classifier ends in the names.
    """
    if isinstance(model, TextClassifier):
        named = with_class_names(model.classifier, class_names, order)
        return in_two_parts(model.inputs[0], model.preprocessor, named, model.name)
    # A `Sequential` model has its output only in this list, and other models may have one output.
    (output,) = model.outputs
    operation, node_index, _ = origin(output)
    if isinstance(operation, ClassNames):
        # The new layer of names replaces the old one.
        output = calls_of(operation)[node_index].input_tensors[0]
        before = operation.order or list(range(len(operation.class_names)))
        order = before if order is None else [before[place] for place in order]
    if order == list(range(len(class_names))):
        order = None
    named = ClassNames(class_names, order, name="class_names")(output)
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.input
    return keras.Model(inputs, named, name=model.name)


def class_names_of(model):
    """The names that `ClassNames` gives to a model's only output, as a tuple; or None."""
    outputs = getattr(model, "outputs", None)
    return _names_of_tensor(outputs[0]) if outputs and len(outputs) == 1 else None


def _names_of_tensor(tensor):
    operation, node_index, tensor_index = origin(tensor)
    if isinstance(operation, ClassNames):
        return operation.class_names
    if isinstance(operation, keras.Model):
        outputs = getattr(operation, "outputs", None)
        return _names_of_tensor(outputs[tensor_index]) if outputs else None
    if type(operation).__name__ in _KEEPS_PLACES:
        return _names_of_tensor(calls_of(operation)[node_index].input_tensors[0])
    return None
