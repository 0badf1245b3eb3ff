"""keras-distill image: a whole job, from folders of images to a phone's file."""

from keras_distill_cli.job_options import add_job_options
from keras_distill_cli.job_options import add_unlabelled
from keras_distill_cli.job_options import run_job
from keras_distill_cli.options import add_number
from keras_distill_cli.options import add_trust

TITLE = "Train a small image classifier from pictures, and export it."
EXAMPLE = "keras-distill image photos --teacher EfficientNetV2B0 --output out"


def add_options(command):
    command.add_argument(
        "train",
        metavar="TRAIN",
        help="The training data: a folder that has a folder of pictures for each class. Or an .npz "
        "file with x, uint8 pixels, and y, classes as numbers, names or one-hot rows; -1 means no "
        "label.",
    )
    command.add_argument(
        "--teacher",
        required=True,
        help="The large model. A network of keras.applications, such as EfficientNetV2B0, is "
        "fine-tuned. A .keras or .h5 file of a classifier that reads pixels from 0 to 255, with "
        "an output for each class, is used as it is.",
    )
    command.add_argument(
        "--teacher-weights",
        default="imagenet",
        metavar="WEIGHTS",
        help="Weights of a network of keras.applications: imagenet, which downloads them, or a "
        "file. Default: %(default)s.",
    )
    add_unlabelled(
        command,
        "More pictures, for which only the teacher's answers are used: folders, or .npz files with "
        "x. Default: none.",
        "FOLDER",
    )
    command.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="Scale the pictures to this size, as keras.utils.image_dataset_from_directory does. "
        "Default: the teacher's size. If the teacher reads any size: that of the pictures.",
    )
    command.add_argument(
        "--augment",
        dest="num_views",
        type=int,
        nargs="?",
        const=8,
        default=0,
        metavar="VIEWS",
        help="Mirror and shift the pictures. --augment without a number makes 8 views of each. "
        "Default: the original pictures only.",
    )
    add_number(command, "width", "Channels of the student's first layer", 32)
    add_job_options(
        command,
        "images",
        quantization="int8",
        num_steps="20 epochs, at least 1,000 and at most 20,000 steps",
        temperature=4.0,
    )
    add_trust(command)
    command.set_defaults(run=_run, show=lambda result: result["summary"])


def _run(options):
    from keras_distill.jobs import ImageJob

    return run_job(ImageJob, options)
