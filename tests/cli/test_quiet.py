"""No line of TensorFlow's, XLA's, absl's, oneDNN's or LiteRT's own is shown."""

import re

import keras
import numpy as np
import pytest
from keras import layers
from processes import python

import keras_distill as kd
from keras_distill_cli.crash_output import FORGET
from keras_distill_cli.crash_output import last_lines

NOISE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:|[IWEF]\d{4} \d\d:|(INFO|WARNING|ERROR):|absl|oneDNN|cuda|XNNPACK|"
    r"rebuild TensorFlow|tensorflow/|\.cc:",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quiet")
    words = kd.text.WordVocabulary.learn(
        ["good film", "bad film"], vocabulary_size=10, sequence_length=4
    )
    texts = keras.Input((), dtype="string", name="text")
    student = kd.students.text_cnn(words, 2, embedding_dim=4, filters=4)
    keras.Model(texts, student(words(texts))).save(folder / "reader.keras")
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, layers.Dense(3)(inputs))
    model.save(folder / "model.keras")
    kd.export_tflite(model, folder / "model.tflite")
    kd.export_saved_model(model, folder / "served")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 4)).astype("float32"), rng.integers(0, 3, 300)
    np.savez(folder / "data.npz", x=x, y=y)
    (folder / "texts.csv").write_text("text,label\n" + "good film,yes\nbad film,no\n" * 20)
    return folder


@pytest.mark.long_but_first
@pytest.mark.parametrize(
    "command",
    [
        "describe model.tflite",
        "describe none.tflite",
        "compare a=model.keras b=model.tflite c=served --data data.npz --threads 1",
        "export model.keras --tflite new.tflite --saved-model new --quantization int8 "
        "--data data.npz",
        "label texts.csv --teacher reader.keras --output answers",
        "benchmark served/1",
        "predict reader.keras film --classes no yes",
        "text texts.csv --teacher ensemble --output out --num-steps 3 --teacher-epochs 1 "
        "--threads --sequence-length 4 --vocabulary-size 10",
    ],
)
def test_only_our_lines(folder, command):
    arguments = [
        re.sub(r"^(\w=)?(?=[a-z]+\.|served|new|answers|out)", rf"\g<1>{folder}/", part)
        for part in command.split()
    ]
    arguments[0] = command.split()[0]
    done = python("-m", "keras_distill_cli", *arguments)
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    assert not [line for line in lines if NOISE.search(line)]
    if "none" in command:
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")
        assert len(lines) == 1
    else:
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.long
def test_debug_shows_them(folder):
    done = python("-m", "keras_distill_cli", "describe", folder / "model.tflite", "--debug")
    assert NOISE.search(done.stderr)


def in_quiet(*lines):
    start = ["import os, sys, warnings", "from keras_distill_cli.quiet import quiet"]
    body = ["with quiet(False) as forget:", *(f"    {line}" for line in lines)]
    return python("-c", "\n".join([*start, *body]))


class TestDescriptor:
    def test_what_is_written_below_python_is_not_shown(self):
        done = in_quiet("os.system('echo below >&2')", "print('above', file=sys.stderr)")
        assert (done.returncode, done.stderr) == (0, "above\n")

    def test_the_last_words_of_a_crash_are_shown(self):
        done = in_quiet(
            "os.system('echo import >&2')", "forget()", "os.write(2, b'why\\n')", "os.abort()"
        )
        assert done.returncode < 0
        assert "why" in done.stderr
        assert "import" not in done.stderr

    def test_warnings_and_tracebacks_are_shown(self):
        done = in_quiet("warnings.warn('look')", "1 / 0")
        assert "UserWarning: look" in done.stderr
        assert done.stderr.endswith("ZeroDivisionError: division by zero\n")

    def test_the_descriptor_is_given_back(self):
        done = python(
            "-c",
            "import os\nfrom keras_distill_cli.quiet import quiet\nwith quiet(False): pass\n"
            "os.write(2, b'after')",
        )
        assert done.stderr == "after"


def test_last_lines():
    lines = [b"%d\n" % number for number in range(30)]
    assert last_lines(lines) == lines[10:]
    assert last_lines([b"a\n", b"half a line" + FORGET, b"b\n"]) == [b"b\n"]
