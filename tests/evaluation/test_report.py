"""The page of a comparison, in a real browser."""

import base64
import io
import json
import re
from xml.etree import ElementTree

import keras
import numpy as np
import pytest
from browsers import open_browser
from PIL import Image
from scipy.special import log_softmax

import keras_distill as kd
from keras_distill.evaluation.answer import answer_of
from keras_distill.evaluation.answer import files_like_models
from keras_distill.evaluation.report import confidence
from keras_distill.evaluation.report import curves
from keras_distill.evaluation.report import departures
from keras_distill.evaluation.report import errors
from keras_distill.evaluation.report.card_format import ModelCard
from keras_distill.evaluation.report.card_format import Section

EVIL = "<script>document.title = 'evil'</script><img src=x onerror=\"document.title='evil'\">"
rng = np.random.default_rng(0)


def answers_of(logits, texts):
    """A model that looks its answers up."""
    places = {text.encode(): place for place, text in enumerate(texts)}
    return lambda x: logits[[places[text] for text in np.asarray(x).tolist()]]


@pytest.fixture(scope="module")
def comparison():
    texts = [f"text number {number}" for number in range(40)]
    texts[0] = EVIL
    labels = rng.integers(0, 3, 40)
    teacher = rng.normal(size=(40, 3)) + 2 * keras.utils.to_categorical(labels, 3)
    noise = rng.normal(size=(2, 40, 3))
    noise[:, 0] = 9 * np.roll(teacher[0], 1)
    models = {"teacher": teacher, "alone": teacher + 2 * noise[0], EVIL: teacher + noise[1]}
    history = keras.callbacks.History()
    history.history = {"loss": [3.0, 2.0, 1.5], "val_accuracy": [0.2, 0.4, 0.5]}
    return kd.compare(
        {name: answers_of(logits.astype("float32"), texts) for name, logits in models.items()},
        kd.text.Examples(np.array(texts, object), labels, ("no", "yes", EVIL)),
        histories={"alone": history},
        num_threads=(),
        num_resamples=20,
        verbose=0,
    )


CARD = ModelCard(
    EVIL,
    {"name": f"{EVIL}\n---"},
    ("license: apache-2.0",),
    (Section(EVIL, (EVIL,), (EVIL,), ((EVIL, "a | b"),), (("python", f"```{EVIL}"),)),),
)


@pytest.fixture(scope="module")
def page(comparison, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "comparison.html"
    comparison.write_html(path, title=EVIL, card=CARD)
    return path


@pytest.fixture(scope="module")
def browser():
    with open_browser() as driver:
        yield driver


@pytest.fixture
def opened(browser, page):
    browser.get_log("performance")
    browser.get(page.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    return browser


def rows(browser, table="departures"):
    script = (
        "return [...document.querySelectorAll(arguments[0] + ' tbody tr')]"
        ".filter(row => !row.hidden).map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return browser.execute_script(script, f"#{table}")


class TestInTheBrowser:
    def test_nothing_is_run_or_fetched(self, opened, page):
        """Texts, labels, names of models and the title have scripts in them."""
        assert opened.title == EVIL
        assert opened.get_log("browser") == []
        requests = [
            entry["message"]
            for entry in opened.get_log("performance")
            if "Network.requestWillBeSent" in entry["message"]
        ]
        urls = set(re.findall(r'"url":"([^"]+)"', " ".join(requests)))
        assert all(url.startswith(("file:", "data:")) for url in urls)
        assert page.as_uri() in urls

    def test_sorted_by_a_click(self, opened):
        header = "#departures th:nth-child({}) button"
        numbers = [int(row[0]) for row in rows(opened)]
        opened.find_element("css selector", header.format(1)).click()
        assert [int(row[0]) for row in rows(opened)] == sorted(numbers)
        opened.find_element("css selector", header.format(1)).click()
        assert [int(row[0]) for row in rows(opened)] == sorted(numbers, reverse=True)
        opened.find_element("css selector", header.format(3)).click()
        labels = [row[2] for row in rows(opened)]
        assert labels == sorted(labels, key=str.lower)

    def test_searched(self, opened):
        field = opened.find_element("css selector", "input[type=search]")
        field.send_keys("NUMBER 3")
        found = rows(opened)
        assert found
        assert all("number 3" in row[1] for row in found)
        count = opened.find_element("css selector", "output").text
        assert count.startswith(f"{len(found)} of ")

    @pytest.mark.parametrize("width", [360, 1200])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_on_a_phone_and_in_the_dark(self, opened, scheme, width):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        size = {"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": width < 500}
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        # Wide tables scroll by themselves; the page does not.
        assert opened.execute_script("return document.documentElement.scrollWidth") <= width
        color = "return getComputedStyle(document.querySelector('figure svg text')).fill"
        ink = int(re.search(r"\d+", opened.execute_script(color))[0])
        assert (ink > 128) == (scheme == "dark")


class TestWhatIsOnIt:
    def test_departures(self, comparison):
        number, table = departures.find(comparison, ["alone", EVIL])
        answers = comparison.answers
        said = {name: values.argmax(1) for name, values in answers.items()}
        departs = (said["alone"] != said["teacher"]) | (said[EVIL] != said["teacher"])
        assert number == departs.sum()
        assert {row[0].value for row in table.rows} == set(np.flatnonzero(departs))
        _, example, _, *cells = table.rows[0]
        assert example.text == EVIL
        names = ("no", "yes", EVIL)
        for cell, values in zip(cells, answers.values()):
            best = log_softmax(values[0]).argmax()
            assert cell.text == names[best]
            assert cell.more == f"{np.exp(values[0, best]):.2f}"
            assert cell.is_marked == (best != said["teacher"][0])

    def test_confusion(self, comparison):
        counts = departures.confusion(comparison, "alone")
        assert counts.sum() == 40
        diagonal = comparison["alone"]["agreement"].value
        assert np.trace(counts) / 40 == pytest.approx(diagonal)
        numbers = [row[2].value for row in departures.pairs(comparison, "alone").rows]
        assert sum(numbers) == 40 - np.trace(counts)
        assert numbers == sorted(numbers, reverse=True)

    def test_weakest_classes_are_counted_against_the_labels(self, comparison):
        labels, said = comparison.task.labels, comparison.answers["alone"].argmax(1)
        rows = errors.weakest_classes(comparison, "alone").rows
        shares = [row[1].value for row in rows]
        assert shares == sorted(shares)
        for name, share, right, taken in rows:
            place = comparison.class_names.index(name.text)
            is_class = labels == place
            assert share.value == pytest.approx(np.mean(said[is_class] == place))
            assert right.text == f"{np.sum(said[is_class] == place)} of {is_class.sum()}"
            numbers = map(int, re.findall(r" (\d+)(?:,|$)", taken.text))
            assert sum(numbers) == np.sum(said[is_class] != place)

    def test_surest_errors_come_first(self, comparison):
        labels, answers = comparison.task.labels, comparison.answers["alone"]
        rows = errors.surest_errors(comparison, "alone", ["teacher"]).rows
        numbers = [row[0].value for row in rows]
        wrong = np.flatnonzero(answers.argmax(1) != labels)
        assert set(numbers) <= set(wrong)
        assert len(numbers) == min(20, len(wrong))
        sure = answers.max(1)[numbers]
        assert list(sure) == sorted(sure, reverse=True)

    def test_confusions_beside_those_of_others(self, comparison):
        labels = comparison.task.labels
        rows = errors.confusions(comparison, "alone", ["teacher"]).rows
        for name, taken, *counts in rows:
            label, other = (comparison.class_names.index(cell.text) for cell in (name, taken))
            for model, cell in zip(("alone", "teacher"), counts):
                said = comparison.answers[model].argmax(1)
                assert cell.value == np.sum((labels == label) & (said == other))

    def test_coverage(self, comparison):
        labels, answers = comparison.task.labels, comparison.answers["alone"]
        accuracy = comparison["alone"]["accuracy"].value
        covered, right = confidence.curve(labels, answers)
        assert covered[-1] == 1
        assert right[-1] == pytest.approx(accuracy)
        everything, *_, half = confidence.coverage(labels, answers).rows
        assert everything[2].value == pytest.approx(accuracy)
        surest = np.argsort(-answers.max(1), kind="stable")[:20]
        is_right = answers.argmax(1)[surest] == labels[surest]
        assert half[2].value == pytest.approx(is_right.mean())
        assert half[3].value == np.sum(~is_right)

    def test_charts(self, page):
        text = page.read_text()
        for title in ("reliability", "accuracy by coverage", "losses of alone", "validation acc"):
            assert title in text
        # Without times: size. Confidence; heat maps; learning curves.
        assert text.count("<svg") == 2 + 2 + 2

    def test_few_examples_are_told(self, comparison, page):
        assert "40 test texts are few: differences under" in page.read_text()

    def test_the_same_bytes_again(self, comparison, page, tmp_path):
        comparison.write_html(tmp_path / "again.html", title=EVIL, card=CARD)
        assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


@pytest.mark.parametrize("scale", [1, 255])
def test_images(tmp_path, scale):
    images = (scale * rng.uniform(size=(10, 8, 8, 3))).astype("float32")
    means = images.mean((1, 2))
    models = {
        "teacher": lambda x: np.asarray(x).mean((1, 2)),
        "alone": lambda x: -np.asarray(x).mean((1, 2)),
    }
    labels = means.argmax(1)
    comparison = kd.compare(models, (images, labels), num_threads=(), num_resamples=5, verbose=0)
    number, example, *_ = departures.find(comparison, ["alone"])[1].rows[0]
    png = Image.open(io.BytesIO(base64.b64decode(example.image)))
    assert png.size == (8, 8)
    pixels = np.asarray(png, "float32") * scale / 255
    np.testing.assert_allclose(pixels, images[number.value], atol=scale / 200)


def test_numbers_and_tags_have_a_page(tmp_path):
    x = rng.normal(size=(20, 1)).astype("float32")
    models = {"teacher": lambda x: x, "alone": lambda x: x**2}
    comparison = kd.compare(models, (x, x[:, 0]), num_threads=(), num_resamples=5, verbose=0)
    comparison.write_html(tmp_path / "numbers.html")
    assert "teacher_mae" in (tmp_path / "numbers.html").read_text()
    tags = kd.text.from_lists(
        [["in", "big", "Rome"], ["no"]], [["O", "O", "B-place"], ["O"]], tags=True
    )

    def tag(words):
        return np.ones((*np.asarray(words).shape, 2), "float32")

    comparison = kd.compare(
        {"teacher": tag, "alone": tag}, tags, num_threads=(), num_resamples=5, verbose=0
    )
    comparison.write_html(tmp_path / "tags.html")
    assert "span_f1" in (tmp_path / "tags.html").read_text()


# A formula that Matplotlib cannot read, half a character, what turns the writing, a name that a
# legend leaves out, one that is a colour of the charts, one that is long, one of other letters.
NAMES = (
    *("$\\frac{$", "$x^$", "\ud800", "\u202egnp", "\x1b[31m\x00", "_hidden", "#010203", "a" * 5000),
    *("中文", "a|b\n# c", "|</svg></style>-->" + EVIL),
)
MODELS = (NAMES[0], NAMES[2], NAMES[5], NAMES[10])


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """A comparison in which all names are evil, and the folder of its page."""
    count = len(NAMES)
    labels = np.arange(4 * count) % count
    # TensorFlow takes no half characters in texts.
    texts = [f"{NAMES[label]!r} {n}" for n, label in enumerate(labels)]
    evidence = 3 * keras.utils.to_categorical(labels, count)
    models = {
        name: answers_of((evidence + rng.normal(size=evidence.shape)).astype("float32"), texts)
        for name in MODELS
    }
    history = keras.callbacks.History()
    history.history = {name: [1.0, 0.5] for name in MODELS}
    comparison = kd.compare(
        models,
        (np.array(texts), labels),
        class_names=NAMES,
        teacher=NAMES[0],
        baseline=NAMES[2],
        histories=dict.fromkeys(MODELS, history),
        num_threads=(),
        num_resamples=5,
        verbose=0,
    )
    folder = tmp_path_factory.mktemp("evil")
    comparison.write_html(folder / "page.html", title=NAMES[0])
    return comparison, folder


def texts_of(chart):
    root = ElementTree.fromstring(chart)
    return {"".join(t.itertext()) for t in root.iter("{http://www.w3.org/2000/svg}text")}


class TestEvilNames:
    def test_the_page_holds_them_all(self, evil):
        text = (evil[1] / "page.html").read_text("utf-8")
        assert not set("\x00\x1b\u202e") & set(text)
        for shown in (
            "$\\frac{$",
            "\\ud800",
            "\\u202egnp",
            "_hidden",
            "#010203",
            "a" * 5000,
            "中文",
        ):
            assert text.count(shown) > 3, shown
        assert "<script>document" not in text
        assert text.count("</style>") == text.count("<style")

    def test_charts_are_whole_and_name_each_model(self, evil):
        text = (evil[1] / "page.html").read_text("utf-8")
        charts = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
        # The heat maps of the students; coverage and reliability; one for each logged name.
        assert len(charts) == len(MODELS) - 1 + 2 + len(MODELS)
        for chart in charts:
            assert "$\\frac{$" in texts_of(chart)
        for chart in charts[: len(MODELS) - 1]:
            assert {"\\ud800", "#010203", "中文"} <= texts_of(chart)
        for chart in charts[len(MODELS) - 1 :]:
            assert {"\\ud800", "_hidden"} <= texts_of(chart)

    def test_tables(self, evil):
        comparison, folder = evil
        text = str(comparison)
        assert not set("\x00\x1b\u202e\ud800") & set(text)
        comparison.write_markdown(folder / "page.md")
        lines = (folder / "page.md").read_text("utf-8").splitlines()
        header = next(line for line in lines if line.startswith("|"))
        assert "\\|\\</svg\\>" in header
        assert len(re.findall(r"(?<!\\)\|", header)) == len(MODELS) + 2
        comparison.write_json(folder / "page.json")
        assert set(json.loads((folder / "page.json").read_text())["models"]) == set(MODELS)


class TestTheAnswer:
    """Three models of given accuracy on 1,000 or 60 examples."""

    def compared(self, **shares):
        size = shares.pop("size", 1000)
        labels = np.arange(size) % 2
        models = {}
        for name, share in shares.items():
            said = np.where(np.arange(size) < share * size, labels, 1 - labels)
            logits = 3 * keras.utils.to_categorical(said, 2).astype("float32")
            models[name] = lambda x, logits=logits: logits[np.asarray(x)[:, 0].astype(int)]
        x = np.arange(size, dtype="float32")[:, None]
        return kd.compare(models, (x, labels), num_threads=(), num_resamples=50, verbose=0)

    def test_a_gain(self):
        answer = answer_of(self.compared(teacher=0.9, alone=0.7, distilled=0.8))
        assert answer.model == "distilled"
        assert answer.headline.startswith("Ship the distilled student. It is right on 80.0 % of 1,")
        assert "10.0 points more than the student trained alone" in answer.headline

    def test_no_gain(self):
        answer = answer_of(self.compared(teacher=0.9, alone=0.801, distilled=0.8))
        assert answer.headline.startswith("No clear gain: ship the student trained alone")

    def test_a_loss(self):
        answer = answer_of(self.compared(alone=0.9, distilled=0.8))
        assert answer.headline.startswith("Ship the student trained alone. It is right on 90.0 %")
        assert "10.0 points more than the distilled student" in answer.headline

    def test_without_a_baseline(self):
        answer = answer_of(self.compared(teacher=0.9, small=0.8))
        assert (
            answer.headline
            == "small is right on 80.0 % of 1,000 test examples; the teacher: 90.0 %."
        )

    def test_few_examples(self):
        answer = answer_of(self.compared(size=60, alone=1, distilled=1))
        expected = "60 test examples are few: differences under 10.0 points cannot be seen."
        assert expected in answer.sentences


def test_a_file_that_answers_like_its_model_is_named_once(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    kd.export_tflite(model, tmp_path / "same.tflite", quantization="none")
    x = rng.normal(size=(50, 4)).astype("float32")
    models = {"distilled": model, "phone": str(tmp_path / "same.tflite")}
    data = x, rng.integers(0, 3, 50)
    comparison = kd.compare(models, data, num_threads=(), num_resamples=5, verbose=0)
    assert files_like_models(comparison) == {"phone": ("distilled", 1)}
    comparison.write_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "phone gives the same class as distilled for all examples." in text
    # In the first table, the first chart and this sentence.
    assert text.count(">phone") == 3


def test_losses_of_two_models_share_no_chart():
    histories = {"alone": keras.callbacks.History(), "distilled": keras.callbacks.History()}
    for history in histories.values():
        history.history = {"loss": [2.0, 1.0], "val_accuracy": [0.5, 1.0], "learning_rate": [1, 1]}
    titles = [title for title, _ in curves.draw(histories, {"alone": 0, "distilled": 1})]
    assert titles == [
        "validation accuracy",
        *(f"losses of {name}, not comparable with others" for name in histories),
    ]


def test_a_card_with_names_that_are_programs():
    lines = CARD.to_markdown().splitlines()
    assert [number for number, line in enumerate(lines) if line == "---"] == [0, 3]
    assert json.loads(lines[2].removeprefix("name: ")) == f"{EVIL}\n---"
    fence = lines.index("````python")
    assert lines[fence + 1 :] == [f"```{EVIL}", "````"]
    assert not [line for line in lines[4:fence] if re.search(r"(?<!\\)<", line)]
    assert "a \\| b |" in lines[fence - 2]
