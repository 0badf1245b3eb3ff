import json
import re
import shutil
import signal
import subprocess
import sys

import filelock
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_distill as kd
from keras_distill._files.plain_path import plain_path
from keras_distill.jobs.splitting import split
from keras_distill.jobs.texts import text_data
from keras_distill.jobs.texts import text_vocabulary
from keras_distill.jobs.texts.text_data import lengths_up_to
from keras_distill.jobs.texts.text_teacher import EnsembleTeacher
from keras_distill.jobs.texts.text_teacher import lower_on_one_line
from keras_distill.jobs.training import read_history
from keras_distill.layers.class_names import class_names_of
from keras_distill.layers.class_names import with_class_names

WORDS = {"travel": "book flight hotel trip", "money": "pay bill bank cash", "food": "cook eat meal"}
rng = np.random.default_rng(0)


def sentences(num_texts, rng):
    """Texts of some words of a class among others."""
    labels = rng.choice(list(WORDS), num_texts)
    texts = []
    for number, label in enumerate(labels):
        words = [*rng.choice(WORDS[label].split(), 2), f"w{number}", "please"]
        texts.append(" ".join(rng.permutation(words)))
    return texts, labels.tolist()


def write(path, texts, labels, header="text,label"):
    path.write_text(f"{header}\n" + "".join(f"{t},{n}\n" for t, n in zip(texts, labels)))
    return str(path)


def save_counting_teacher(path, names, activation):
    """It sees the words of each class that is named."""
    words = kd.text.WordVocabulary.learn(WORDS.values(), vocabulary_size=40, sequence_length=8)
    table = [[float(token in WORDS[name].split()) for name in names] for token in words.tokens]
    strings = keras.Input((), dtype="string", name="text")
    embedding = layers.Embedding(len(words.tokens), len(names))
    found = layers.GlobalMaxPooling1D()(embedding(words(strings)))
    dense = layers.Dense(len(names), activation=activation)
    model = keras.Model(strings, dense(found))
    embedding.set_weights([np.array(table)])
    dense.set_weights([12.0 * np.eye(len(names)), np.full(len(names), -6.0)])
    model.save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """train.csv, more.txt, and teacher.keras, which counts the words of each class."""
    folder = tmp_path_factory.mktemp("job")
    rng = np.random.default_rng(1)
    texts, labels = sentences(90, rng)
    write(folder / "train.csv", texts, labels)
    (folder / "more.txt").write_text("\n".join(sentences(60, rng)[0]) + "\n")
    save_counting_teacher(folder / "teacher.keras", sorted(WORDS), None)
    return folder


def job(folder, output, **settings):
    settings = {
        "teacher": str(folder / "teacher.keras"),
        "unlabelled": (str(folder / "more.txt"),),
        "num_steps": 30,
        "sequence_length": 8,
        "vocabulary_size": 60,
        "num_threads": (),
        **settings,
    }
    train = settings.pop("train", str(folder / "train.csv"))
    return kd.jobs.TextJob(train, str(output), **settings)


@pytest.fixture(scope="module")
def done(folder):
    """The folder of a job, whose name is a pattern of other names, and its result."""
    output = folder / "out [1]*?"
    return output, job(folder, output).run()


class TestWhatComesOut:
    def test_all_files_and_figures(self, done):
        output, result = done
        assert sorted(path.name for path in output.iterdir()) == [
            *(".lock", "alone.csv", "alone.keras", "answers", "distilled.csv", "distilled.keras"),
            *("job.json", "model_card.md", "report.html", "report.json", "report.md", "serving"),
            "student.tflite",
        ]
        assert set(result["models"]) == {"teacher", "alone", "distilled", "phone", "server"}
        assert result["num_examples"] == 18
        assert result["models"]["teacher"]["figures"]["accuracy"]["value"] == 1
        assert result["models"]["phone"]["figures"]["agreement"]["value"] > 0.8
        written = json.loads((output / "report.json").read_text())
        assert written["models"] == result["models"]

    def test_the_simplest_baseline_is_told(self, done):
        sentence = "The simplest baseline, TF-IDF with a linear model trained on the same labels"
        assert sentence in " ".join(done[1]["summary"].split())
        assert sentence in (done[0] / "report.html").read_text(encoding="utf-8")

    def test_the_server_reads_texts(self, done):
        serving = tf.saved_model.load(plain_path(done[0] / "serving" / "1"))
        served = serving.signatures["serving_default"]
        answer = served(text=tf.constant(["book a flight"]))
        assert answer["label"].numpy()[0].decode() in WORDS

    def test_the_phones_file_has_labels_and_words(self, done):
        description = kd.describe(done[0] / "student.tflite")
        assert description.files["labels.txt"].split() == sorted(WORDS)
        (ids,) = description.inputs
        assert ids.shape == (1, 8)

    def test_both_students_log_the_same_two_figures(self, done):
        """Their losses cannot be compared: one has a teacher, the other smoothed labels."""
        for name in ("alone", "distilled"):
            history = read_history(done[0], name).history
            accuracy = done[1]["models"][name]["figures"]["accuracy"]["value"]
            assert history["held_out_accuracy"][-1] == pytest.approx(accuracy)
            nll = done[1]["models"][name]["figures"]["nll"]["value"]
            assert history["held_out_cross_entropy"][-1] == pytest.approx(nll, rel=1e-3)

    def test_the_model_card(self, folder, done):
        text = (done[0] / "model_card.md").read_text("utf-8")
        _, front, card = text.split("---\n", 2)
        pairs = (line.split(": ", 1) for line in front.splitlines() if not line.startswith("#"))
        metadata = {name: json.loads(value) for name, value in pairs}
        accuracy = done[1]["models"]["phone"]["figures"]["accuracy"]["value"]
        (result,) = metadata["model-index"][0]["results"]
        assert result["metrics"] == [
            {"type": "accuracy", "value": pytest.approx(accuracy, abs=1e-4)}
        ]
        assert metadata["pipeline_tag"] == "text-classification"
        assert "# license:" in front
        for part in (
            "kd.jobs.TextJob(",
            "train.csv, a file of 20",
            "student.tflite",
            "tensorflow 2",
            "| seed | 0 |",
            "test texts are few",
        ):
            assert part in card.replace("\\", ""), part
        page = (done[0] / "report.html").read_text("utf-8")
        assert "Model card" in page
        assert str(folder) not in page.split("<details>")[0]
        assert "kd.jobs.TextJob(" in page

    def test_the_files_name_their_classes(self, done):
        for name in ("alone", "distilled"):
            model = keras.models.load_model(done[0] / f"{name}.keras", safe_mode=True)
            assert class_names_of(model) == tuple(sorted(WORDS))

    @pytest.mark.long
    def test_the_same_seed_gives_the_same_files(self, folder, done, tmp_path):
        again = job(folder, tmp_path / "again").run()
        for name, model in again["models"].items():
            assert model["figures"] == done[1]["models"][name]["figures"]
        for name in ("student.tflite", "alone.csv", "distilled.csv"):
            assert (tmp_path / "again" / name).read_bytes() == (done[0] / name).read_bytes(), name

    @pytest.mark.long
    def test_a_finished_job_trains_nothing_again(self, folder, done):
        before = (done[0] / "distilled.keras").stat().st_mtime_ns
        assert job(folder, done[0]).run()["models"] == done[1]["models"]
        assert (done[0] / "distilled.keras").stat().st_mtime_ns == before


@pytest.mark.long
def test_stopped_it_goes_on(folder, tmp_path):
    """By Ctrl-C, in the middle of a training; the result is that of one run."""
    output = tmp_path / "out"
    # Long enough to be in the middle when the signal arrives.
    settings = job(folder, output, num_steps=100).__dict__
    code = (
        # As in the foreground: what runs in the background of a shell script ignores Ctrl-C.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "import sys; from keras_distill_cli.command import main; "
        f"sys.exit(main({_command(settings)!r}))"
    )
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if "Epoch 2/10" in line and (output / "alone.keras").exists():
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "Stopped. Run the same command again: it resumes." in errors
    assert "Traceback" not in errors
    assert (output / "distilled-backup").is_dir()
    assert not (output / "distilled.keras").exists()
    job(folder, output, num_steps=100).run()
    assert len(read_history(output, "distilled").history["loss"]) == 10
    assert not (output / "distilled-backup").exists()


def _command(settings):
    command = ["text", settings["train"], "--verbose", "--threads"]
    for name in ("output", "teacher", "num_steps", "sequence_length", "vocabulary_size"):
        command += [f"--{name.replace('_', '-')}", str(settings[name])]
    return [*command, "--unlabelled", *settings["unlabelled"]]


def test_the_folder_of_a_job_with_another_vocabulary(folder, done, tmp_path):
    """Its students read other ids. It is refused, and stays as it is."""
    for number, vocabulary in enumerate((None, "of another version")):
        output = tmp_path / str(number)
        shutil.copytree(done[0], output)
        settings = json.loads((output / "job.json").read_text())
        assert settings.pop("vocabulary")
        if vocabulary is not None:
            settings["vocabulary"] = vocabulary
        (output / "job.json").write_text(json.dumps(settings))
        before = state(output)
        for start in (job(folder, output).run, job(folder, output).dry_run):
            with pytest.raises(ValueError, match=r"folder of another job.*the vocabulary differs"):
                start()
        assert state(output) == before


def state(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(str(path), path.stat().st_mtime_ns, path.read_bytes()) for path in files]


@pytest.mark.long
@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_a_teacher_with_one_output(activation, tmp_path):
    """High for the second class, a probability or a logit."""
    texts, labels = sentences(200, np.random.default_rng(1))
    labels = ["travel" if label == "travel" else "other" for label in labels]
    write(tmp_path / "train.csv", texts, labels)
    save_counting_teacher(tmp_path / "teacher.keras", ["travel"], activation)
    result = job(tmp_path, tmp_path / "out", unlabelled=(), alpha=0.0, num_steps=200).run()
    accuracies = {n: m["figures"]["accuracy"]["value"] for n, m in result["models"].items()}
    assert accuracies["teacher"] == 1
    assert min(accuracies.values()) > 0.9, accuracies


@pytest.mark.long
def test_a_teacher_with_a_sigmoid_for_each_class(folder, tmp_path):
    """One against all: taken for logits, its answers told the classes hardly apart."""
    save_counting_teacher(tmp_path / "teacher.keras", sorted(WORDS), "sigmoid")
    settings = {"train": str(folder / "train.csv"), "alpha": 0.0, "num_steps": 200}
    result = job(folder, tmp_path / "out", teacher=str(tmp_path / "teacher.keras"), **settings)
    result = result.run()
    accuracies = {n: m["figures"]["accuracy"]["value"] for n, m in result["models"].items()}
    assert accuracies["teacher"] == 1
    assert min(accuracies.values()) > 0.9, accuracies


@pytest.mark.long
def test_dry_run(folder, tmp_path):
    result = job(folder, tmp_path / "out").dry_run()
    assert (result["num_train"], result["num_test"]) == (72, 18)
    more = set((folder / "more.txt").read_text().split("\n")) - {""}
    assert 72 < result["num_transfer"] <= 72 + len(more)
    assert result["seconds"]["train the teacher"] == 0
    assert all(value > 0 for name, value in result["seconds"].items() if "teacher" not in name)
    assert not (tmp_path / "out").exists()
    assert "Nothing was written." in result["summary"]


# What `str.splitlines` takes for the end of a line, a tab and a no-break space.
LINE_ENDS = [
    "\n",
    "\r",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
    "\t",
    "\xa0",
]


@pytest.mark.long
def test_an_ensemble_learns_and_is_saved(tmp_path):
    """Also of texts with line ends: Keras saves line by line what was learned of them."""
    texts, labels = sentences(120, rng)
    texts = [text.replace(" ", LINE_ENDS[i % 12], i % 3) for i, text in enumerate(texts)]
    train = kd.text.from_lists(texts, labels)
    words = kd.text.WordVocabulary.learn(texts, vocabulary_size=60, sequence_length=8)
    teacher = EnsembleTeacher(words, train, num_steps=30)
    assert lower_on_one_line(["A\0Ü\u2028b!"]).numpy()[0].decode() == "a ü b"
    teacher.train(train, seed=0, fit_settings=lambda *steps: {"verbose": 0})
    logits = teacher.model.predict(tf.constant(texts), verbose=0)
    assert np.mean(logits.argmax(-1) == train.labels) > 0.9
    teacher.model.save(tmp_path / "teacher.keras")
    again = keras.models.load_model(tmp_path / "teacher.keras")
    np.testing.assert_allclose(again.predict(tf.constant(texts), verbose=0), logits, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("texts", [["x", "y"], [":)", "!"]])
def test_an_ensemble_of_what_there_is(texts):
    """Of texts without pieces, or without words, the members that read these are left out."""
    train = kd.text.from_lists(texts * 2, ["a", "b"] * 2)
    words = kd.text.WordVocabulary.learn(texts, vocabulary_size=60, sequence_length=8)
    teacher = EnsembleTeacher(words, train, num_steps=2)
    teacher.train(train, seed=0, fit_settings=lambda *steps: {"verbose": 0})
    assert teacher.model.predict(tf.constant(texts), verbose=0).shape == (2, 2)


def test_texts_without_words_are_not_augmented(folder, tmp_path):
    """They ended the job, and the error counted texts, not lines."""
    texts, labels = sentences(30, np.random.default_rng(0))
    train = write(tmp_path / "t.csv", [*texts, "", " "], [*labels, *sorted(WORDS)[:2]])
    plan = job(folder, tmp_path / "out", train=train, num_augmented=1).dry_run()
    assert plan["num_transfer"] > plan["num_train"]


def test_long_texts_are_read_to_their_end(folder):
    """Batches are as long as sequence_length says, not as batch_by_length would cut them."""
    assert lengths_up_to(300) == (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 300)
    assert lengths_up_to(8) == (8,)


class TestData:
    def test_each_class_has_its_share_of_the_test_set(self):
        texts, labels = [f"t{n}" for n in range(100)], ["a"] * 80 + ["b"] * 20
        train, test = split(kd.text.from_lists(texts, labels), 0.2, seed=0)
        assert np.bincount(train.labels).tolist() == [64, 16]
        assert np.bincount(test.labels).tolist() == [16, 4]
        assert set(train.texts) | set(test.texts) == set(texts)
        assert not set(train.texts) & set(test.texts)

    def test_the_transfer_set_has_no_test_text(self):
        train, test = kd.text.from_lists(["a", "b"]), kd.text.from_lists(["c"])
        more = kd.text.from_lists(["d", "c", "a", "d", "e"])
        assert text_data.without(more, [train, test]).texts.tolist() == ["d", "e"]

    def test_blanks_make_no_other_text(self):
        """Texts of both sets were not said to be so for a blank at their end."""
        train = kd.text.from_lists(["a  b ", "c"])
        test = kd.text.from_lists(["a b", "\u00a0c\t", "ab"])
        assert text_data.num_duplicates(train, test) == 2
        assert text_data.without(test, [train]).texts.tolist() == ["ab"]

    def test_kinds_of_files(self, tmp_path):
        (tmp_path / "t.jsonl").write_text('{"q": "x", "l": "a"}\n')
        assert text_data.read_labelled(tmp_path / "t.jsonl", "q", "l").texts.tolist() == ["x"]
        (tmp_path / "t.csv").write_text("q,l\nx,a\n")
        assert text_data.read_unlabelled(str(tmp_path / "t.csv"), "q").labels is None
        (tmp_path / "t.txt").write_text("x\ny\n")
        assert len(text_data.read_unlabelled(str(tmp_path / "t.txt"), "q")) == 2

    def test_a_table_is_none_of_lines(self, tmp_path):
        """The header and the labels of a .CSV file were texts for the teacher."""
        (tmp_path / "t.CSV").write_text("q,l\nx,1\ny,2\n")
        assert text_data.read_unlabelled(str(tmp_path / "t.CSV"), "q").texts.tolist() == ["x", "y"]
        assert len(text_data.read_labelled(str(tmp_path / "t.CSV"), "q", "l")) == 2
        (tmp_path / "t.ndjson").write_text('{"q": "x", "l": "1"}\n')
        assert text_data.read_unlabelled(str(tmp_path / "t.ndjson"), "q").texts.tolist() == ["x"]
        (tmp_path / "t.json").write_text('[{"q": "x", "l": "1"}]\n')
        with pytest.raises(ValueError, match=r"A table of texts must end in \.csv.*t\.json"):
            text_data.read_unlabelled(str(tmp_path / "t.json"), "q")


class TestWhatALaterStageRefuses:
    """It is refused before the first stage begins, by a dry run too."""

    @pytest.mark.long_but_first
    @pytest.mark.parametrize("name", ["student.tflite", "report.html", "report.md", "alone.keras"])
    def test_a_folder_where_a_file_goes(self, folder, tmp_path, name):
        output = self.begun(folder, tmp_path)
        (output / name).mkdir()
        for run in (job(folder, output).run, job(folder, output).dry_run):
            with pytest.raises(ValueError, match=f"must be a file. Received: .*{name}, which is a"):
                run()
        assert not (output / "answers").exists()

    @pytest.mark.long_but_first
    @pytest.mark.parametrize("name", ["answers", "serving", "alone-backup"])
    def test_a_file_where_a_folder_goes(self, folder, tmp_path, name):
        output = self.begun(folder, tmp_path)
        (output / name).write_text("x")
        for run in (job(folder, output).run, job(folder, output).dry_run):
            with pytest.raises(ValueError, match=f"must be a folder. Received: .*{name}, which is"):
                run()
        assert not (output / "teacher.keras").exists()

    def begun(self, folder, tmp_path):
        """The folder of a job that was killed as soon as it had begun."""
        with job(folder, tmp_path / "out")._prepare().folder.begun():
            return tmp_path / "out"

    def test_every_stage_says_what_it_refuses(self, folder, tmp_path):
        started = job(folder, tmp_path / "out")
        work = started._prepare()
        checks = started._checks(work)
        assert list(checks) == list(work.seconds())
        assert all(checks.values())


class TestClassesOfTheTeacher:
    """Those of teacher.keras are in the order of the table; here they are turned."""

    TURNED = ("money", "travel", "food")

    @pytest.fixture
    def turned(self, folder, tmp_path):
        model = keras.models.load_model(folder / "teacher.keras")
        return with_class_names(model, self.TURNED, order=[1, 2, 0])

    @pytest.mark.long
    def test_names_are_matched(self, folder, turned, tmp_path):
        turned.save(tmp_path / "t.keras")
        result = job(folder, tmp_path / "out", teacher=str(tmp_path / "t.keras")).dry_run()
        assert "Warning" not in result["summary"]

    @pytest.mark.long
    def test_without_names_the_labels_tell(self, folder, turned, tmp_path):
        layer = turned.layers.pop()
        logits = keras.ops.take(layer.input, layer.order, axis=-1)
        path = str(tmp_path / "t.keras")
        keras.Model(turned.input, logits).save(path)
        with pytest.raises(ValueError, match=r"order of the data's.*and would be on 100.0%"):
            job(folder, tmp_path / "out", teacher=path).run()
        assert not (tmp_path / "out").exists()
        job(folder, tmp_path / "out", teacher=path, class_names=self.TURNED).dry_run()

    def test_a_teacher_at_chance(self, folder, tmp_path):
        model = keras.models.load_model(folder / "teacher.keras")
        model.layers[-1].set_weights([np.zeros((3, 3)), np.array([0.0, 1.0, 0.0])])
        model.save(tmp_path / "t.keras")
        with pytest.raises(ValueError, match=r"of the labelled data.*by chance. Does it read"):
            job(folder, tmp_path / "out", teacher=str(tmp_path / "t.keras")).run()
        assert not (tmp_path / "out").exists()

    @pytest.mark.long
    def test_a_poor_teacher_is_said(self, folder, tmp_path):
        """It takes all for money, and is less sure of it where it is not."""
        model = keras.models.load_model(folder / "teacher.keras")
        model.layers[-1].set_weights([np.diag([0.4, 1.0, 0.4]), np.array([0.0, 3.0, 0.0])])
        model.save(tmp_path / "t.keras")
        result = job(folder, tmp_path / "out", teacher=str(tmp_path / "t.keras")).dry_run()
        assert "Warning: The teacher is right on" in result["summary"]

    def test_other_names(self, folder, tmp_path):
        model = keras.models.load_model(folder / "teacher.keras")
        with_class_names(model, ("food", "money", "trips")).save(tmp_path / "t.keras")
        with pytest.raises(ValueError, match=r"unknown to it: \['travel'\].*data: \['trips'\]"):
            job(folder, tmp_path / "out", teacher=str(tmp_path / "t.keras")).run()

    def test_class_names_are_for_ready_teachers_without_names(self, folder, turned, tmp_path):
        turned.save(tmp_path / "t.keras")
        for teacher in (str(tmp_path / "t.keras"), "ensemble"):
            settings = {"teacher": teacher, "class_names": tuple(sorted(WORDS))}
            with pytest.raises(ValueError, match="class_names must be left out for a teacher that"):
                job(folder, tmp_path / "out", **settings).run()


class TestBadInput:
    """Before anything is trained or written."""

    def run(self, folder, tmp_path, message, **settings):
        with pytest.raises(ValueError, match=message):
            job(folder, tmp_path / "out", **settings).run()
        assert not (tmp_path / "out").exists()

    @pytest.mark.long
    def test_settings(self, folder, tmp_path):
        for settings, message in (
            ({"student": "gpt"}, "student must be one of"),
            ({"unlabelled": "more.txt"}, r"unlabelled must be a tuple.*'more\.txt'.*the comma"),
            ({"label": "text"}, "text= and label= must be different columns"),
            ({"quantization": "int2"}, "quantization must be one of"),
            ({"quantization": "int16x8"}, "no operation for embeddings"),
            ({"num_threads": (0,)}, "num_threads"),
            ({"test_rate": 1.0}, "test_rate"),
            ({"test_rate": 0.999}, r"Received: test_rate=0\.999 of 90 examples of 3"),
            ({"seed": 2**32}, "seed must be an integer of 4294967295 or less. Received: seed=4294"),
            ({"num_threads": (1, 10**6)}, "num_threads must be an integer of 1024 or less"),
            ({"alpha": 2}, "alpha"),
            ({"temperature": 0.0}, "temperature"),
            ({"num_steps": 0}, "num_steps"),
        ):
            self.run(folder, tmp_path, message, **settings)

    def test_no_such_file(self, folder, tmp_path):
        self.run(folder, tmp_path, "none.csv", train=str(tmp_path / "none.csv"))
        self.run(folder, tmp_path, "must end in .csv", train=str(tmp_path / "x.xlsx"))

    def test_what_is_no_teacher(self, folder, tmp_path):
        """KerasHub said that it has no config.json, and where to read of its presets."""
        (tmp_path / "plain.txt").write_text("a text")
        (tmp_path / "plain.keras").write_text("a text")
        (tmp_path / "folder").mkdir()
        may_be = "teacher must be .*a .keras file of a classifier that reads texts.*Received: .*"
        for name, found in (
            ("plain.txt", "plain.txt, which is a file"),
            ("plain.keras", "a zip archive"),
            ("none.txt", "none.txt, which is no file or folder here, and no preset of KerasHub"),
            ("none.keras", "none.keras', which is not there"),
            ("folder", "folder, which is a folder without saved_model.pb and config.json"),
        ):
            self.run(folder, tmp_path, may_be + found, teacher=str(tmp_path / name))
            # At the start: the table of texts is not there either.
            settings = {"train": "none.csv"} if name != "plain.keras" else {}
            with pytest.raises(ValueError, match=may_be + found):
                job(folder, tmp_path / "out", teacher=str(tmp_path / name), **settings).dry_run()
        model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
        self.run(folder, tmp_path, r"teacher must be a name or a path.*model.save", teacher=model)
        settings = {"teacher": "ensemble", "preprocessor": "bert_base_en"}
        self.run(folder, tmp_path, "preprocessor must be left out for a teacher", **settings)
        settings = {"teacher": "bert_base_en", "preprocessor": str(tmp_path / "none")}
        self.run(folder, tmp_path, "preprocessor must be the name of a model", **settings)

    def test_wrong_columns(self, folder, tmp_path):
        train = write(tmp_path / "t.csv", ["x", "y"], ["a", "b"], header="sentence,class")
        message = re.escape("['sentence', 'class']")
        self.run(folder, tmp_path, message, train=train)

    def test_one_class(self, folder, tmp_path):
        train = write(tmp_path / "t.csv", ["x", "y"], ["a", "a"])
        self.run(folder, tmp_path, "at least two classes. Received: one, 'a'", train=train)

    def test_fewer_examples_than_classes(self, folder, tmp_path):
        train = write(tmp_path / "t.csv", ["x", "y", "z"], ["a", "b", "c"])
        self.run(folder, tmp_path, "3 examples of 3 classes, and a single one of 'a'", train=train)

    def test_a_teacher_of_other_classes(self, folder, tmp_path):
        texts = [f"t{n}" for n in range(20)]
        train = write(tmp_path / "t.csv", texts, ["a", "b"] * 10)
        self.run(folder, tmp_path, r"from texts to 2 classes.*\(None, 3\)", train=train)

    def test_the_folder_of_another_job(self, folder, done, tmp_path):
        with pytest.raises(ValueError, match=r"another job.*num_steps was 30, is 31"):
            job(folder, done[0], num_steps=31).run()
        lock = filelock.FileLock(done[0] / ".lock")
        with lock, pytest.raises(ValueError, match="no other job works in just now"):
            job(folder, done[0]).run()
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("x")
        with pytest.raises(ValueError, match="holds other files"):
            job(folder, tmp_path / "mine").run()

    def test_other_data_is_another_job(self, folder, done, tmp_path):
        texts, labels = sentences(90, np.random.default_rng(5))
        train = folder / "train.csv"
        before = train.read_text()
        write(train, texts, labels)
        try:
            with pytest.raises(ValueError, match=r"another job.*the data differs"):
                job(folder, done[0]).run()
        finally:
            train.write_text(before)

    @pytest.mark.long
    def test_duplicates_are_reported(self, folder, tmp_path):
        result = job(folder, tmp_path / "out", test=str(folder / "train.csv")).dry_run()
        assert result["num_duplicates"] == 90
        assert "90 of the test texts are in the training file" in result["summary"]


# Words of a good and of a bad review, and what they are about; written without blanks.
UNSPACED = {
    "zh": ("很好 非常棒 喜欢 满意", "太差 失望 糟糕 后悔", "电影 酒店 服务 房间 早餐 剧情 演员"),
    "ja": (
        "とても良い 最高です 好きです",
        "ひどいです 最悪です 嫌いです",
        "映画は ホテルは 部屋は 朝食は 駅は 店は 道は 人は",
    ),
    "th": ("ดีมาก ชอบมาก เยี่ยม", "แย่มาก เลวมาก ไม่ชอบ", "หนัง ที่พัก ห้อง อาหาร บริการ ราคา วิว เตียง"),
}


def reviews(language, num_texts):
    rng = np.random.default_rng(0)
    *moods, things = (part.split() for part in UNSPACED[language])
    labels = np.arange(num_texts) % 2
    texts = ["".join(rng.choice(words) for words in [things, moods[label]] * 2) for label in labels]
    return np.array(texts, object), labels


class TestWordsThatAreNotApart:
    @pytest.mark.long_but_first
    @pytest.mark.parametrize("language", UNSPACED)
    def test_pieces_are_known(self, language):
        texts, _ = reviews(language, 200)
        assert not text_vocabulary.has_words(texts, 1000)
        vocabulary = text_vocabulary.learn_vocabulary(texts[:150], 1000, 64, are_words=False)
        assert text_vocabulary.known_share(vocabulary, texts[150:]) > 0.95
        # Whole sentences are no pieces: those of the training would be in no other text.
        seen, unseen = (
            np.diff(vocabulary.pieces(list(part)).row_splits).mean()
            for part in (texts[:150], texts[150:])
        )
        assert seen > 0.7 * unseen
        assert text_vocabulary.tokenizer_of(vocabulary) == "bert"
        assert text_vocabulary.warnings_of(vocabulary, texts[150:]) == ()

    def test_english_keeps_words(self):
        texts = np.array(sentences(200, np.random.default_rng(3))[0], object)
        assert text_vocabulary.has_words(texts, 1000)
        vocabulary = text_vocabulary.learn_vocabulary(texts, 1000, 64, are_words=True)
        assert text_vocabulary.tokenizer_of(vocabulary) == "regex"

    def test_known_share(self):
        words = kd.text.WordVocabulary(["a", "b"], for_apps=True)
        assert text_vocabulary.known_share(words, ["a b c d", "a x"]) == 0.5
        pieces = kd.text.WordPieceVocabulary(
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b"], for_apps=True
        )
        assert text_vocabulary.known_share(pieces, ["abbb x", "ab", "y", ""]) == 0.5

    @pytest.mark.long
    def test_a_test_set_of_another_language_is_a_warning(self, folder, tmp_path):
        test = write(tmp_path / "test.csv", ["réserver un vol", "payer"], ["travel", "money"])
        summary = job(folder, tmp_path / "out", test=test).dry_run()["summary"]
        assert "Warning: the students know 0% of the words of the test texts" in summary

    @pytest.mark.long
    @pytest.mark.parametrize("language", UNSPACED)
    def test_a_whole_job(self, language, tmp_path):
        texts, labels = reviews(language, 300)
        train = write(tmp_path / "train.csv", texts, labels)
        settings = {
            "teacher": "ensemble",
            "num_steps": 200,
            "sequence_length": 16,
            "num_augmented": 1,
        }
        settings |= {"teacher_epochs": 1, "num_threads": ()}
        result = kd.jobs.TextJob(train, str(tmp_path / "out"), **settings).run()
        accuracy = {
            name: model["figures"]["accuracy"]["value"] for name, model in result["models"].items()
        }
        assert min(accuracy.values()) > 0.95, accuracy
        vocabulary = kd.describe(tmp_path / "out" / "student.tflite").files["vocab.txt"]
        assert vocabulary.startswith("[PAD]")


@pytest.mark.long
def test_a_length_that_no_text_has(folder, tmp_path):
    """The check of the phone's file ended the process by its memory."""
    summary = job(folder, tmp_path / "out", sequence_length=100_000).dry_run()["summary"]
    assert "No text is as long as sequence_length says, 100,000: the students read 1,024" in summary
