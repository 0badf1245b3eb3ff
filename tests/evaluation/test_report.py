"""The page of a comparison, in a real browser."""

import base64
import io
import json
import re
import shutil
from xml.etree import ElementTree

import keras
import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax

import keras_distill as kd
from keras_distill.evaluation.report import departures

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
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


@pytest.fixture(scope="module")
def page(comparison, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "comparison.html"
    comparison.write_html(path, title=EVIL)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if BROWSER is None or DRIVER is None:
        pytest.skip("Needs Chromium and its driver, to open the page.")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, page):
    browser.get_log("performance")
    browser.get(page.as_uri())
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
        opened.find_element("css selector", header.format(5)).click()
        shares = [float(row[4]) for row in rows(opened)]
        assert shares == sorted(shares)

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
        found = departures.find(comparison)
        answers = comparison.answers
        said = {name: values.argmax(1) for name, values in answers.items()}
        departs = (said["alone"] != said["teacher"]) | (said[EVIL] != said["teacher"])
        assert found["num_found"] == departs.sum()
        assert {row["number"] for row in found["rows"]} == set(np.flatnonzero(departs))
        assert found["rows"][0]["text"] == EVIL
        first = found["rows"][0]
        names = ("no", "yes", EVIL)
        for (name, probability, is_other), values in zip(first["answers"], answers.values()):
            best = log_softmax(values[0]).argmax()
            assert name == names[best]
            assert probability == pytest.approx(np.exp(values[0, best]))
            assert is_other == (best != said["teacher"][0])

    def test_confusion(self, comparison):
        counts = departures.confusion(comparison, "alone")
        assert counts.sum() == 40
        diagonal = comparison["alone"]["agreement"].value
        assert np.trace(counts) / 40 == pytest.approx(diagonal)
        pairs = departures.frequent(counts, ["a", "b", "c"])
        assert sum(count for _, _, count in pairs) == 40 - np.trace(counts)
        assert [count for *_, count in pairs] == sorted((n for *_, n in pairs), reverse=True)

    def test_charts(self, page):
        text = page.read_text()
        for title in ("reliability", "learning curve: loss", "learning curve: val_accuracy"):
            assert title in text
        assert text.count("<svg") == 3 + 2

    def test_the_same_bytes_again(self, comparison, page, tmp_path):
        comparison.write_html(tmp_path / "again.html", title=EVIL)
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
    row = departures.find(comparison)["rows"][0]
    png = Image.open(io.BytesIO(base64.b64decode(row["image"])))
    assert png.size == (8, 8)
    pixels = np.asarray(png, "float32") * scale / 255
    np.testing.assert_allclose(pixels, images[row["number"]], atol=scale / 200)


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
        # The reliability, and one for each logged name; the heat maps of the students.
        assert len(charts) == 1 + len(MODELS) + len(MODELS) - 1
        for chart in charts:
            assert "$\\frac{$" in texts_of(chart)
        for chart in charts[: 1 + len(MODELS)]:
            assert {"\\ud800", "_hidden"} <= texts_of(chart)
        for chart in charts[1 + len(MODELS) :]:
            assert {"\\ud800", "#010203", "中文"} <= texts_of(chart)

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
