"""Base class of all sources of outputs; by default, figures are missing."""


class Source:
    """A callable from a batch of inputs to an array. Figures that it cannot give are None.

    Attributes:
        kind: Kind of the source, for people.
        batch_size: Number of examples that it reads at once.
        domain: Domain of its output, as in `output_domains`.
        reads_text: Whether it reads strings; None if unknown.
        class_names: Names of its classes in the order of its outputs, a tuple; None without names.
        num_parameters, num_bytes: Size of the model.
        tells_channels: Whether the axis of its classes is known, and moved to the end.
    """

    kind = None
    batch_size = 64
    tells_channels = False
    domain = reads_text = class_names = num_parameters = num_bytes = None

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
