"""Time of `import keras_distill` behind `import keras`, as a share of the latter.

    python benchmarks/import_time.py [--rounds 9]

Each round is a process of its own. Prints minimum, median and maximum.
"""

import argparse
import statistics
import subprocess
import sys

SCRIPT = """
import time
start = time.perf_counter()
import keras
middle = time.perf_counter()
import keras_distill
print((time.perf_counter() - middle) / (middle - start))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    command = [sys.executable, "-c", SCRIPT]
    shares = [float(subprocess.check_output(command)) for _ in range(arguments.rounds)]
    print(f"{min(shares):.3f} / {statistics.median(shares):.3f} / {max(shares):.3f}")


if __name__ == "__main__":
    main()
