"""Options that several commands have."""

import math

from keras_distill.jobs.images.npz import read_arrays


def add_trust(command):
    command.add_argument(
        "--trust",
        nargs="+",
        default=[],
        metavar="MODULE",
        help="TF-Hub modules, handles or folders, that a .keras file may load: they can run code",
    )


def add_number(command, name, title, defaults, kind=int):
    command.add_argument(
        f"--{name.replace('_', '-')}",
        type=kind,
        default=defaults[name],
        help=f"{title}; default: %(default)s",
    )


def add_threads(command):
    command.add_argument(
        "--threads",
        dest="num_threads",
        type=int,
        nargs="*",
        default=[1, 2],
        metavar="N",
        help="numbers of threads to time the models on; without a number they are not timed",
    )


def read_npz(path, names):
    return tuple(read_arrays(path, names, max_bytes=math.inf))
