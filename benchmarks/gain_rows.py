"""One row of a table of gains over the student alone."""

import numpy as np


def row(name, accuracies, alone):
    """Accuracy and gain over `alone`, mean and deviation over the seeds, and each seed's gain."""
    gains = np.subtract(accuracies, alone)
    each = ", ".join(f"{gain:+.2f}" for gain in gains)
    accuracy = f"{np.mean(accuracies):.2f} ± {np.std(accuracies, ddof=1):.2f}"
    gain = f"{gains.mean():+.2f} ± {np.std(gains, ddof=1):.2f}"
    return f"| {name} | {accuracy} | {gain} | {each} |"
