"""keras-distill text: a whole job, from a table of texts to a phone's file."""

from keras_distill.cli.job_options import add_job_options
from keras_distill.cli.job_options import defaults_of
from keras_distill.cli.job_options import run_job
from keras_distill.cli.options import add_number
from keras_distill.cli.options import add_trust
from keras_distill.jobs import TextJob

TITLE = "a whole job, from a table of texts to a phone's file"
EXAMPLE = "keras-distill text reviews.csv --teacher bert_base_en_uncased --output out"


def add_options(command):
    add_trust(command)
    defaults = defaults_of(TextJob)
    command.add_argument("train", help="a .csv, .tsv or .jsonl file with texts and labels (or .gz)")
    command.add_argument(
        "--teacher",
        required=True,
        help="a KerasHub preset or folder, a Hugging Face folder, or a TF-Hub handle or folder, to "
        "be fine-tuned; a .keras file of a classifier that reads texts; or 'ensemble': three "
        "small models from scratch, without a download. TF-Hub modules can run code",
    )
    command.add_argument("--preprocessor", help="a TF-Hub teacher's preprocessor")
    command.add_argument(
        "--student",
        choices=("bilstm", "text_cnn", "transformer"),
        default=defaults["student"],
        help="default: %(default)s",
    )
    command.add_argument(
        "--unlabelled",
        nargs="+",
        default=[],
        metavar="FILE",
        help="more texts for the teacher to answer, one on a line; - is standard input",
    )
    command.add_argument("--text", default="text", help="column; default: %(default)s")
    command.add_argument("--label", default="label", help="column; default: %(default)s")
    command.add_argument(
        "--augment",
        dest="num_augmented",
        type=int,
        nargs="?",
        const=10,
        default=0,
        metavar="ROUNDS",
        help="make more texts, with words masked or replaced; 10 rounds if no number is given",
    )
    add_number(command, "sequence_length", "words of a text", defaults)
    add_number(command, "vocabulary_size", "words that the student knows", defaults)
    add_job_options(command, defaults, "texts")
    command.set_defaults(
        run=lambda options: run_job(TextJob, options), show=lambda result: result["summary"]
    )
