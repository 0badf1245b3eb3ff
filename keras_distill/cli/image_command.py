"""keras-distill image: a whole job, from folders of images to a phone's file."""

from keras_distill.cli.job_options import add_job_options
from keras_distill.cli.job_options import defaults_of
from keras_distill.cli.job_options import run_job
from keras_distill.cli.options import add_number
from keras_distill.cli.options import add_trust
from keras_distill.jobs import ImageJob

TITLE = "the same, from a folder of images for each class"
EXAMPLE = "keras-distill image photos --teacher EfficientNetV2B0 --output out"


def add_options(command):
    add_trust(command)
    defaults = defaults_of(ImageJob)
    command.add_argument(
        "train",
        help="a folder with a folder of pictures for each class, or an .npz file with x, uint8 "
        "pixels, and y, classes as numbers, names or one-hot rows; -1: no label",
    )
    command.add_argument(
        "--teacher",
        required=True,
        help="a .keras or .h5 file of a classifier of pixels from 0 to 255, with an output for "
        "each class, or a network of keras.applications to be fine-tuned, such as EfficientNetV2B0",
    )
    command.add_argument(
        "--teacher-weights",
        default=defaults["teacher_weights"],
        help="imagenet, which downloads them, or a file; default: %(default)s",
    )
    command.add_argument(
        "--unlabelled",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="more images for the teacher to answer: folders, or .npz files with x",
    )
    command.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="size to scale to, as keras.utils.image_dataset_from_directory does; default: the "
        "teacher's, or, if it reads any, that of the images",
    )
    command.add_argument(
        "--augment",
        dest="num_views",
        type=int,
        nargs="?",
        const=8,
        default=0,
        metavar="VIEWS",
        help="mirror and shift the images; 8 views of each if no number is given",
    )
    add_number(command, "width", "channels of the student's first layer", defaults)
    add_job_options(command, defaults, "images")
    command.set_defaults(
        run=lambda options: run_job(ImageJob, options), show=lambda result: result["summary"]
    )
