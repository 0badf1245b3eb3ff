"""What all sources of outputs have in common: the figures that most of them lack."""


class Source:
    """A callable from a batch of inputs to an array; None where there is no such figure.

    Attributes:
        kind: What it is, for people.
        batch_size: Examples that it reads at once.
        domain: As of `output_domains`.
        reads_text: Whether it reads strings; None: unknown.
        class_names: Names of its classes in the order of its outputs, a tuple; None: unnamed.
        num_parameters, num_bytes: Its size.
        tells_channels: Whether it knows which axis its classes are on, and gives them last.
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
