"""Base class of all sources of outputs, whose figures are missing by default; named inputs."""

import types

import keras


class Source:
    """A callable from a batch of inputs to an array. Figures that it cannot give are None.

    Attributes:
        kind: Kind of the source, for people.
        batch_size: Number of examples that it reads at once.
        domain: Domain of its output, as in `output_domains`.
        reads_text: Whether it reads strings; None if unknown.
        inputs: Dict from its inputs' names to pairs of an example's shape, with None for open
            sizes, and the dtype's name; empty if unknown.
        has_several_labels: Whether it is known that an example may have several classes.
        class_names: Names of its classes in the order of its outputs, a tuple; None without names.
        num_parameters, num_bytes: Size of the model.
        tells_channels: Whether the axis of its classes is known, and moved to the end.
    """

    kind = None
    batch_size = 64
    tells_channels = has_several_labels = False
    domain = reads_text = class_names = num_parameters = num_bytes = None
    inputs = types.MappingProxyType({})

    def num_flops(self, x):
        """Floating-point operations for the inputs of one example."""
        return None

    def latencies(self, x, num_threads):
        """Dict from a number of threads to a `LatencyReport`."""
        return None

    def pixels(self, x):
        """Dict from the names of inputs that are pictures to the pixels that x stands for.

        Only inputs are in it of which the model says how it reads pixels from 0 to 255.
        """
        return {}

    def normalized(self, x):
        """Dict from the names of inputs that are pictures to the values that x is normalised to.

        Only inputs are in it that a Normalization layer reads.
        """
        return {}


def named_inputs(owner, names, x):
    """Returns the inputs by name.

    Args:
        owner: Owner of the inputs, for the error.
        names: The file's names of its inputs.
        x: A tensor, or a dict by these names.

    Raises:
        ValueError: If x has other names, or no names although the file has several inputs.
    """
    leaves = keras.tree.flatten(x)
    if isinstance(x, dict) and set(names) <= set(x):
        return {name: x[name] for name in names}
    if len(leaves) == 1 and len(names) == 1:
        return dict(zip(names, leaves))
    received = sorted(x) if isinstance(x, dict) else f"{len(leaves)} without names"
    raise ValueError(
        f"{owner} takes the inputs {sorted(names)}. Received: {received}. Give data whose x is a "
        "dict with these names, or a preprocessor that returns one."
    )
