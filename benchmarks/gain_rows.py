"""One row of a table of gains over the student alone."""

import numpy as np


def row(name, accuracies, alone):
    """Mean and deviation over the seeds, the mean gain over `alone`, and that of each seed."""
    gains = np.subtract(accuracies, alone)
    each = ", ".join(f"{gain:+.2f}" for gain in gains)
    mean = f"{np.mean(accuracies):.2f} ± {np.std(accuracies, ddof=1):.2f} | {gains.mean():+.2f}"
    return f"| {name} | {mean} | {each} |"
