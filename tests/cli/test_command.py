import contextlib
import io
import json
import re
import shutil
import signal
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_distill as kd
from keras_distill_cli import command as cli

rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """model.keras and model.tflite of numbers, data.npz, and reader.keras of texts."""
    folder = tmp_path_factory.mktemp("cli")
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, layers.Dense(3)(inputs))
    model.save(folder / "model.keras")
    kd.export_tflite(model, folder / "model.tflite")
    x, y = rng.normal(size=(20, 4)).astype("float32"), rng.integers(0, 3, 20)
    np.savez(folder / "data.npz", x=x, y=y)
    words = kd.text.WordVocabulary.learn(
        ["good film", "bad film"], vocabulary_size=10, sequence_length=4
    )
    texts = keras.Input((), dtype="string", name="text")
    student = kd.students.text_cnn(words, 2, embedding_dim=4, filters=4)
    keras.Model(texts, student(words(texts))).save(folder / "reader.keras")
    (folder / "test.csv").write_text("text,label\ngood film,yes\nbad film,no\n")
    return folder


def run(capsys, *arguments):
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


class TestSingleSteps:
    def test_describe(self, folder, capsys):
        code, out, _ = run(capsys, "describe", folder / "model.tflite")
        assert code == 0
        assert out == f"{kd.describe(folder / 'model.tflite')}\n"
        code, out, _ = run(capsys, "describe", folder / "model.tflite", "--json")
        assert json.loads(out)["inputs"][0]["shape"] == [1, 4]

    def test_describe_a_folder(self, folder, tmp_path, capsys):
        (tmp_path / "job.json").write_text("{}")
        code, out, _ = run(capsys, "describe", tmp_path)
        assert code == 0
        assert out == f"{kd.describe(tmp_path)}\n"
        code, out, _ = run(capsys, "describe", tmp_path, "--json")
        assert json.loads(out)["facts"]["files"] == ["job.json: 2 bytes"]

    @pytest.mark.long
    def test_benchmark(self, folder, capsys):
        code, out, _ = run(capsys, "benchmark", folder / "model.tflite", "--threads", 1, 2)
        assert code == 0
        assert [line.split(":")[0] for line in out.splitlines()] == ["1 thread", "2 threads"]

    def test_export(self, folder, tmp_path, capsys):
        (tmp_path / "labels.txt").write_text("a\nb\nc\n")
        files = "--tflite", tmp_path / "m.tflite", "--saved-model", tmp_path / "served"
        np.savez(tmp_path / "many.npz", x=np.random.default_rng(0).normal(size=(300, 4)))
        more = "--labels", tmp_path / "labels.txt", "--data", tmp_path / "many.npz"
        settings = "--quantization", "int8", "--json"
        code, out, err = run(capsys, "export", folder / "model.keras", *files, *more, *settings)
        assert code == 0, err
        result = json.loads(out)
        assert result["num_bytes"] == (tmp_path / "m.tflite").stat().st_size
        assert result["saved_model"] == str(tmp_path / "served" / "1")

    def test_compare(self, folder, tmp_path, capsys):
        models = [f"{name}={folder / 'model'}.{name}" for name in ("keras", "tflite")]
        data = "--data", folder / "data.npz", "--threads", "--teacher", "keras"
        page = tmp_path / "page.html"
        code, out, err = run(capsys, "compare", *models, *data, "--html", page, "--json")
        assert code == 0, err
        figures = json.loads(out)["models"]["tflite"]["figures"]
        assert figures["agreement"]["value"] == 1
        assert page.exists()

    def test_compare_texts(self, folder, capsys):
        models, data = f"m={folder / 'reader.keras'}", folder / "test.csv"
        code, out, _ = run(capsys, "compare", models, "--data", data, "--threads", "--quiet")
        assert code == 0
        assert out.startswith("2 examples, classification")

    def test_compare_by_names(self, folder, tmp_path, capsys):
        """Its classes, "no" and "yes" to the table, are the other way round in this model."""
        inputs = keras.Input((1,))
        keras.Model(inputs, layers.Dense(2)(inputs)).save(tmp_path / "m.keras")
        model = keras.models.load_model(tmp_path / "m.keras")
        model.set_weights([np.array([[9.0, -9.0]]), np.zeros(2)])
        model.save(tmp_path / "m.keras")
        x = np.linspace(-1, 1, 40)[:, None].astype("float32")
        np.savez(tmp_path / "d.npz", x=x, y=np.where(x[:, 0] > 0, "yes", "no"))
        data = "--data", tmp_path / "d.npz", "--threads", "--json"
        for classes, expected in ((("yes", "no"), 1), (("no", "yes"), 0)):
            options = (f"m={tmp_path / 'm.keras'}", *data, "--classes", *classes)
            code, out, err = run(capsys, "compare", *options)
            assert code == 0, err
            assert json.loads(out)["models"]["m"]["figures"]["accuracy"]["value"] == expected

    def test_predict(self, folder, capsys, monkeypatch):
        model, classes = folder / "reader.keras", ("--classes", "no", "yes")
        code, out, err = run(capsys, "predict", model, "a  good film", "bad", *classes)
        assert code == 0, err
        first, *lines = out.splitlines()
        assert first == "a good film"
        assert [line[:2] for line in lines] == ["  ", "  ", "ba", "  ", "  "]
        shares = [float(line.split()[1]) for line in (lines[0], lines[1])]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(100, abs=0.2)
        given = io.BytesIO("good film\n\nbäd film\n".encode())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given, encoding="latin-1"))
        code, out, err = run(capsys, "predict", model, *classes, "--top", 1, "--json")
        assert code == 0, err
        results = json.loads(out)
        assert [result["input"] for result in results] == ["good film", "bäd film"]
        (best,) = results[0]["classes"]
        assert best["name"] in ("no", "yes")
        assert 0.5 <= best["probability"] <= 1

    def test_label_standard_input(self, folder, tmp_path, capsys, monkeypatch):
        given = io.BytesIO("\ufeffgood film\n\nbäd film\n".encode())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given, encoding="latin-1"))
        options = "--teacher", folder / "reader.keras", "--output", tmp_path / "answers"
        code, out, err = run(capsys, "label", "-", *options, "--quiet")
        assert code == 0, err
        assert out.startswith("2 answers")
        assert len(kd.TeacherStore.open(tmp_path / "answers")) == 2

    def test_a_terminal_that_lacks_letters(self, folder, tmp_path, monkeypatch):
        """A job ended in a traceback behind its last stage, in place of its figures."""
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
        options = "--teacher", folder / "reader.keras", "--output", tmp_path / "日ä"
        command = ("label", folder / "test.csv", *options)
        assert cli.main([*map(str, command), "--quiet"]) == 0
        sys.stdout.flush()
        assert b"\\u65e5\\xe4" in written.getvalue()

    def test_no_colour_and_no_line_twice_in_a_pipe(self, folder, tmp_path, capsys):
        options = "--teacher", folder / "reader.keras", "--output", tmp_path / "answers"
        code, out, err = run(capsys, "label", folder / "test.csv", *options)
        assert code == 0, err
        bar, answers = out.splitlines()
        assert bar.startswith("2/2 ")
        assert answers.startswith("2 answers")
        assert not set("\x1b\r\b") & set(out)


@pytest.mark.long
def test_text_dry_run_as_json(folder, tmp_path, capsys):
    """JSON alone on standard output, what is said on the way on standard error."""
    options = "--teacher", folder / "reader.keras", "--output", tmp_path / "out"
    data = folder / "test.csv", "--test", folder / "test.csv", "--sequence-length", 4
    code, out, err = run(capsys, "text", *data, *options, "--dry-run", "--json")
    assert code == 0, err
    assert json.loads(out)["num_duplicates"] == 2
    assert "2 texts to train on, 2 classes" in json.loads(out)["summary"]


class TestErrors:
    def test_one_line_and_the_exit_code(self, folder, tmp_path, capsys):
        for arguments, message in (
            (("describe", tmp_path / "none.tflite"), "none.tflite"),
            (("export", folder / "model.keras"), "Give --tflite FILE"),
            (("compare", "x", "--data", folder / "data.npz"), "NAME=MODEL. Received: x"),
            (("benchmark", tmp_path / "none.tflite"), "PATH must be a TFLite file"),
            (("predict", tmp_path / "none", "a"), "MODEL must be a .tflite or .keras file, or"),
            (("predict", folder / "reader.keras", "a"), "--classes must be given for a model"),
            (
                ("compare", "m=m.keras", "--data", folder / "test.csv", "--label", "text"),
                "--text and --label must be different columns. Received: 'text', 'text'",
            ),
            (
                (
                    "label",
                    tmp_path / "none.txt",
                    "--teacher",
                    folder / "reader.keras",
                    "--output",
                    tmp_path / "o",
                ),
                "none.txt",
            ),
        ):
            code, out, err = run(capsys, *arguments)
            assert code == 1
            assert out == ""
            assert err.splitlines()[-1].startswith("Error: ")
            assert message in err
            assert "Traceback" not in err

    def test_a_folder_for_a_file_and_a_file_for_a_folder(self, folder, tmp_path, capsys):
        """They were errors of the system, such as "[Errno 21] Is a directory"."""
        files = {n: tmp_path / f"f.{n}" for n in ("csv", "txt", "npz", "keras", "tflite", "html")}
        for path in files.values():
            path.mkdir()
        (tmp_path / "in_it").mkdir()
        (tmp_path / "in_it" / "student.tflite").touch()
        plain = tmp_path / "plain"
        plain.write_text("no model")
        model, data = folder / "model.keras", folder / "data.npz"
        reader = "--teacher", folder / "reader.keras", "--output", tmp_path / "o"
        image = "image", "--teacher", "EfficientNetV2B0", "--output", tmp_path / "o", "--dry-run"
        table = folder / "test.csv"
        for arguments, message in (
            (
                ("describe", tmp_path),
                f"PATH must be a TFLite file, a Sav.* Received: {tmp_path}, which is a folder with",
            ),
            (("describe", tmp_path / "in_it"), "which is a.*Take a file in it: .*student.tflite"),
            (("describe", plain), "PATH must be a TFLite file. .*plain, which is none"),
            (("benchmark", tmp_path), "is a folder without"),
            (("benchmark", plain), "PATH must be a TFLite file. .*plain, which is none"),
            (("compare", f"a={files['keras']}", "--data", data), r"f\.keras, which is a folder"),
            (("compare", f"a={files['tflite']}", "--data", data), r"f\.tflite, which is a folder"),
            (("compare", f"a={model}", "--data", files["npz"]), r"f\.npz, which is a folder"),
            (("compare", f"a={model}", "--data", files["csv"]), r"f\.csv cannot be .* is a folder"),
            (
                ("compare", f"a={model}", "--data", tmp_path),
                f"Received: {tmp_path}, which is a fold",
            ),
            (("compare", f"a={model}", "--data", data, "--html", files["html"]), "--html must be"),
            (
                ("compare", "a=a.keras", "--data", data, "--logits", "a", "--probabilities", "a"),
                "--logits and --probabilities exclude each other. Received: a",
            ),
            (
                ("compare", "a=a.keras", "--data", data, "--logits", "b"),
                "must name models. Received: b; the models are a",
            ),
            (("export", files["keras"], "--tflite", "o.tflite"), r"f\.keras, which is a folder"),
            (("export", model, "--tflite", files["tflite"]), "--tflite must be a file. Received"),
            (("export", model, "--saved-model", plain), "--saved-model must be a folder"),
            (("export", model, "--saved-model", "o", "--labels", tmp_path), "it is a folder"),
            (("export", model, "--tflite", "o", "--trust", plain), "--trust must .* is a file"),
            (("label", files["txt"], *reader), r"f\.txt cannot be read: it is a folder"),
            (("label", table, "--teacher", tmp_path, *reader[2:]), "which is a folder"),
            (("label", table, *reader[:3], plain), "--output must be a folder"),
            (("text", files["csv"], *reader), r"f\.csv cannot be read: it is a folder"),
            (
                ("text", table, "--test", table, "--teacher", files["keras"], *reader[2:]),
                "--teacher must .* a folder",
            ),
            (
                ("text", table, "--test", table, "--unlabelled", tmp_path, *reader),
                "cannot be read: it is a folder",
            ),
            ((*image, plain), f"{plain} must be a folder with .* Received: what is a file"),
            ((*image, tmp_path / "none"), "none must be a folder with .* Received: what is not th"),
            ((*image, files["npz"]), r"f\.npz, which is a folder"),
        ):
            code, _, err = run(capsys, *arguments)
            assert code == 1, arguments
            last = err.splitlines()[-1]
            assert re.search(f"Error: .*{message}", last), (arguments, last)
            assert "Errno" not in err
        assert not (tmp_path / "o").exists()

    def test_what_is_read_is_not_replaced(self, folder, tmp_path, capsys):
        """A page took the place of the test set, and a TFLite file that of the model."""
        names = "model.keras", "data.npz", "linked.keras"
        for name in names[:2]:
            shutil.copy(folder / name, tmp_path / name)
        (tmp_path / "linked.keras").symlink_to(tmp_path / "model.keras")
        before = {name: (tmp_path / name).read_bytes() for name in names}
        model, data, linked = (tmp_path / name for name in names)
        for arguments, message in (
            (("export", model, "--tflite", model), "--tflite must be another file than"),
            (("export", model, "--tflite", linked), "--tflite must be another file than"),
            (("export", model, "--tflite", data, "--data", data), "--tflite must be another file"),
            (
                ("export", model, "--tflite", tmp_path / "o", "--saved-model", tmp_path / "o/m"),
                "--tflite must be another path than --saved-model",
            ),
            (("compare", f"a={model}", "--data", data, "--html", data), "--html must be another"),
            (("compare", f"a={model}", "--data", data, "--html", model), "--html must be another"),
        ):
            code, _, err = run(capsys, *arguments)
            assert code == 1
            assert message in err
        assert {name: (tmp_path / name).read_bytes() for name in names} == before
        assert not (tmp_path / "o").exists()

    def test_a_link_to_nothing(self, folder, tmp_path, capsys):
        """It was "[Errno 17] File exists"."""
        (tmp_path / "link").symlink_to(tmp_path / "gone")
        arguments = "export", folder / "model.keras", "--saved-model", tmp_path / "link"
        code, _, err = run(capsys, *arguments)
        assert code == 1
        assert "--saved-model must be a folder" in err
        assert "a link to what is not there" in err

    def test_a_terminal_gets_nothing_to_obey(self, folder, tmp_path, capsys):
        """A name that clears the screen, one that writes backwards, one with a line of its own."""
        evil = tmp_path / "\x1b[2J\u202egnp\nError: none.tflite"
        for options in ((), ("--debug",)):
            _, _, err = run(capsys, "describe", evil, *options)
            assert not {"\x1b", "\u202e"} & set(err)
            assert r"\x1b[2J\u202egnp\nError: none.tflite" in err.splitlines()[-1]
        evil.write_bytes((folder / "model.tflite").read_bytes())
        code, out, _ = run(capsys, "describe", evil)
        assert code == 0
        assert out.startswith(f"{tmp_path}/\\x1b[2J\\u202egnp\\nError: none.tflite, ")

    def test_debug_shows_where(self, tmp_path, capsys):
        code, _, err = run(capsys, "describe", tmp_path / "none.tflite", "--debug")
        assert code == 1
        assert "Traceback" in err

    @pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
    def test_ctrl_c(self, error, capsys, monkeypatch):
        """TensorFlow makes another error of one that comes while it calls Python."""

        def stop(*arguments):
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            raise error("pybind11: REPLACED BY KeyboardInterrupt")

        monkeypatch.setattr(kd, "describe", stop)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code = cli.main(["describe", "model.tflite"])
        finally:
            signal.signal(signal.SIGINT, before)
        assert code == 130
        assert capsys.readouterr().err == "\nStopped.\n"

    def test_no_memory(self, capsys, monkeypatch):
        """Memory cannot run out here without the machine's end: the error is raised by hand."""

        def exhaust(path):
            raise MemoryError

        monkeypatch.setattr(kd, "describe", exhaust)
        code, _, err = run(capsys, "describe", "x")
        assert code == 1
        assert "Lower --sequence-length" in err


class TestWhatErrorsSay:
    """One line, with the command's options, before anything is written."""

    PYTHON = re.compile(
        r"\b(class_names|label|regression|tags|text|[a-z]+_[a-z_]+)=|kd\.|read_table"
    )

    def error(self, capsys, *arguments):
        code, _, err = run(capsys, *arguments)
        assert code == 1
        line = err.strip().splitlines()[-1]
        assert line.startswith("Error: ")
        assert not self.PYTHON.search(line), line
        return line

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ("sentence,class\na,b\n", "Add --text sentence --label class."),
            ("class,my sentence\na,b\n", "Add --text 'my sentence' --label class."),
            ("text,kind\na,b\n", "Add --text text --label kind."),
            ("message;category\na;b\n", "The file seems to be separated by ';'. Save it as .csv"),
            (
                "text,label\na,x\nb,\n",
                "line 3 has no label. Received: the label ''. Label",
            ),
            ("text,label\na,x\nb,X\n", "line 2: the label 'x' differs from 'X'"),
            ("text,label\na,-1\nb,0\nc,1\n", "keep texts without a label in a file of their own."),
        ],
    )
    def test_tables(self, tmp_path, capsys, table, message):
        (tmp_path / "t.csv").write_text(table)
        line = self.error(
            *(capsys, "text", tmp_path / "t.csv", "--teacher", "ensemble"),
            *("--output", tmp_path / "out", "--dry-run"),
        )
        assert message in line

    def test_the_folder_of_another_job(self, tmp_path, capsys):
        rows = [f"{word} film {n},{word}" for n in range(20) for word in ("good", "bad")]
        (tmp_path / "t.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "job.json").write_text('{"num_steps": 5, "seed": 0, "alpha": 0.5}')
        line = self.error(
            *(capsys, "text", tmp_path / "t.csv", "--teacher", "ensemble"),
            *("--output", tmp_path / "out", "--num-steps", 7, "--dry-run"),
        )
        assert line.startswith("Error: --output is the folder of another job.")
        assert "--num-steps was 5, is 7; " in line
        assert "--alpha was 0.5, is 0.1; " in line
        assert "the data differs" in line
        assert "--seed" not in line

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                ["--tflite", "x.tflite", "--quantization", "int8"],
                "300 or more. Received: no --data",
            ),
            (
                ["--tflite", "x.tflite", "--quantization", "int3"],
                "--quantization must be one",
            ),
            (["--tflite", "x.tflite", "--labels", "labels.txt"], "--labels are for a SavedModel"),
            (
                ["--saved-model", "x", "--sequence-length", "3"],
                "are for a TFLite file",
            ),
            (["--saved-model", "x", "--labels", "gap.txt"], "gap.txt, line 2 is blank. Each line"),
            (["--saved-model", "x", "--data", "labels.txt"], "labels.txt must be an .npz file"),
            # Both are asked before one is written.
            (["--tflite", "x.tflite", "--saved-model", "labels.txt"], "must be a folder"),
        ],
    )
    def test_export(self, folder, tmp_path, capsys, options, message):
        (tmp_path / "gap.txt").write_text("a\n\nb\n")
        (tmp_path / "labels.txt").write_text("a\nb\nc\n")
        options = [
            tmp_path / o if o.split(".")[0] in ("x", "gap", "labels") else o for o in options
        ]
        assert message in self.error(capsys, "export", folder / "model.keras", *options)
        assert not (tmp_path / "x.tflite").exists()
        assert not (tmp_path / "x").exists()

    def test_others(self, folder, tmp_path, capsys):
        test = folder / "test.csv"
        for arguments, message in (
            (
                ["label", test, "--teacher", folder / "model.keras"],
                "--teacher must be a model",
            ),
            (["label", tmp_path / "none.csv", "--teacher", "x"], "none.csv cannot be read"),
            (["label", test, "--teacher", "x", "--text", "y"], "Add --text text."),
            (["label", test, "--teacher", test], "--teacher must be a .keras file of a model that"),
            (["label", test, "--teacher", "x"], "reads texts. Received: 'x', which is not there."),
            (["text", test, "--teacher", test], "Error: --teacher must be the name of a model: a"),
            (["text", test, "--teacher", "ensamble"], "the nearest name is ensemble"),
            (["text", test, "--teacher", test], f"'ensemble'. Received: {test}, which is a file"),
            (["image", folder, "--teacher", test], "Error: --teacher must be a .keras or .h5 file"),
        ):
            assert message in self.error(capsys, *arguments, "--output", tmp_path / "store")
        assert not (tmp_path / "store").exists()
        reader = f"a={folder / 'reader.keras'}"
        page = self.error(capsys, "compare", reader, "--data", test, "--html", tmp_path)
        assert "--html must be a file" in page
        threads = self.error(capsys, "benchmark", folder / "model.tflite", "--threads", "1", "0")
        assert "Error: --threads must be" in threads
        # A million threads took those of all other programs, and ended in a crash.
        threads = self.error(capsys, "benchmark", folder / "model.tflite", "--threads", "1000000")
        assert (
            "--threads must be an integer of 1024 or less. Received: --threads 1000000" in threads
        )


def test_labels_of_a_file_with_a_byte_order_mark(folder, tmp_path, capsys):
    """Excel and Notepad write it; it was part of the first name."""
    (tmp_path / "labels.txt").write_bytes("\ufeffred\r\ngreen \r\nblue\r\n".encode())
    served, labels = tmp_path / "served", tmp_path / "labels.txt"
    code, _, _ = run(
        capsys, "export", folder / "model.keras", "--saved-model", served, "--labels", labels
    )
    assert code == 0
    signature = tf.saved_model.load(str(served / "1")).signatures["serving_default"]
    names = signature(x=tf.zeros((1, 4)))["top_labels"].numpy()[0].tolist()
    assert sorted(names) == [b"blue", b"green", b"red"]
