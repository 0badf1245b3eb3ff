"""keras-distill text: a whole job, from a table of texts to a phone's file."""

from keras_distill_cli.job_options import add_job_options
from keras_distill_cli.job_options import add_unlabelled
from keras_distill_cli.job_options import run_job
from keras_distill_cli.options import add_label_column
from keras_distill_cli.options import add_number
from keras_distill_cli.options import add_text_column
from keras_distill_cli.options import add_trust

TITLE = "Train a small text classifier from a table, and export it."
EXAMPLE = "keras-distill text reviews.csv --teacher ensemble --output out"


def add_options(command):
    command.add_argument(
        "train",
        metavar="TRAIN",
        help="The training data: a .csv, .tsv or .jsonl table with texts and labels. It may be "
        "compressed (.gz).",
    )
    command.add_argument(
        "--teacher",
        required=True,
        help="The large model. 'ensemble' trains three small models and needs no download. A "
        "KerasHub preset or folder, a Hugging Face folder, or a TF-Hub handle or folder is "
        "fine-tuned; a TF-Hub module can run code. A .keras file of a classifier that reads texts "
        "is used as it is.",
    )
    command.add_argument(
        "--preprocessor",
        metavar="MODULE",
        help="The preprocessor of a TF-Hub teacher, which needs one. Others have their own.",
    )
    command.add_argument(
        "--teacher-signature",
        metavar="NAME",
        help="For a teacher that is the folder of a SavedModel, a fine-tuned classifier that reads "
        "texts: the name of its signature, mostly serving_default. It is not trained again, and "
        "it can run code. Default: none.",
    )
    command.add_argument(
        "--student",
        choices=("bilstm", "text_cnn", "transformer"),
        default="text_cnn",
        help="The kind of the small model: bilstm, text_cnn or transformer. Default: %(default)s.",
    )
    add_unlabelled(
        command,
        "More texts, for which only the teacher's answers are used: tables, or other files with a "
        "text on each line. - is standard input. Default: none.",
        "FILE",
    )
    add_text_column(command)
    add_label_column(command)
    command.add_argument(
        "--augment",
        dest="num_augmented",
        type=int,
        nargs="?",
        const=10,
        default=0,
        metavar="ROUNDS",
        help="Make more texts, in which words are masked or replaced. --augment without a number "
        "makes 10 rounds. Default: no rounds.",
    )
    add_number(command, "sequence_length", "Words of a text that the models read", 64)
    add_number(command, "vocabulary_size", "Words that the student knows", 10_000)
    add_job_options(
        command,
        "texts",
        quantization="dynamic",
        num_steps="10 epochs, at least 1,000 and at most 10,000 steps",
        temperature=2.0,
    )
    add_trust(command)
    command.set_defaults(run=_run, show=lambda result: result["summary"])


def _run(options):
    from keras_distill.jobs import TextJob

    return run_job(TextJob, options)
