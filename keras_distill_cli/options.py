"""Options that several commands have. Help texts are sentences, with the default in words."""


def add_trust(command):
    command.add_argument(
        "--trust",
        nargs="+",
        default=[],
        metavar="MODULE",
        help="TF-Hub modules (handles or folders) that a .keras file may load. A module can run "
        "code. Default: none.",
    )


def add_number(command, name, title, default, kind=int):
    command.add_argument(
        f"--{name.replace('_', '-')}",
        type=kind,
        default=default,
        metavar="N",
        help=f"{title}. Default: {default:,}.",
    )


def add_threads(command, default):
    command.add_argument(
        "--threads",
        dest="num_threads",
        type=int,
        nargs="*",
        default=default,
        metavar="N",
        help="Time the models on these numbers of threads. --threads without a number skips the "
        f"timing. Default: {' and '.join(map(str, default))}.",
    )


def add_class_names(command, which):
    command.add_argument("--classes", dest="class_names", nargs="+", metavar="NAME", help=which)


def add_text_column(command):
    command.add_argument(
        "--text", default="text", metavar="COLUMN", help="The column of the texts. Default: text."
    )


def add_label_column(command):
    command.add_argument(
        "--label",
        default="label",
        metavar="COLUMN",
        help="The column of the labels. Default: label.",
    )


def read_npz(path, names):
    import math

    from keras_distill.jobs.images.npz import read_arrays

    return tuple(read_arrays(path, names, max_bytes=math.inf))
