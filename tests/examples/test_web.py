"""The pages of examples/web in a real browser."""

import contextlib
import functools
import http.server
import importlib.util
import pathlib
import re
import subprocess
import threading

import keras
import numpy as np
import pytest
from browsers import open_browser

import keras_distill as kd

HERE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "web"
LABELS = ("travel", "money", "food")
SENTENCES = ["Book a flight", "pay MY bill", "what is for dinner", "unheard-of"]


@pytest.fixture(scope="module")
def student():
    keras.utils.set_random_seed(1)
    texts = ["book a flight", "pay my bill", "what is for dinner", "cancel the flight and pay"]
    words = kd.text.WordVocabulary.learn(
        texts, vocabulary_size=100, sequence_length=12, for_apps=True
    )
    model = kd.students.text_cnn(words, 3, embedding_dim=8, filters=8)
    model.layers[-1].kernel.assign(20 * model.layers[-1].kernel)
    return words, model


def export(student, path, quantization):
    words, model = student
    metadata = kd.export.TextMetadata(LABELS, words, "regex")
    kd.export_tflite(
        model,
        path,
        quantization=quantization,
        representative_data=words(SENTENCES).numpy(),
        metadata=metadata,
    )


@contextlib.contextmanager
def serve(folder):
    """Serves a folder on this machine; gives its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def end_headers(self):
            self.send_header("Cache-Control", "no-store")
            super().end_headers()

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextlib.contextmanager
def served(model, page, raw=False):
    """Builds a page's folder and serves it on this machine; gives its address."""
    spec = importlib.util.spec_from_file_location("build_page", HERE / "build.py")
    build_page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build_page)
    try:
        build_page.build(model, page, raw)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"npm cannot install the runtime here: {error}")

    with serve(page) as address:
        yield address


@pytest.fixture(scope="module")
def page(student, tmp_path_factory):
    """The built folder, and where it is served."""
    folder = tmp_path_factory.mktemp("web")
    export(student, folder / "student.tflite", "none")
    with served(folder / "student.tflite", folder / "page") as address:
        yield folder / "page", address


@pytest.fixture(scope="module")
def browser():
    with open_browser(420, 720) as driver:
        yield driver


@pytest.mark.long_but_first
@pytest.mark.parametrize(("quantization", "percent"), [("none", 0.06), ("dynamic", 3)])
def test_what_is_typed_is_classified_as_in_keras(
    quantization, percent, student, page, browser, tmp_path
):
    from selenium.webdriver.support.wait import WebDriverWait

    words, model = student
    folder, address = page
    export(student, folder / "student.tflite", quantization)
    browser.get(address)
    wait = WebDriverWait(browser, 60)

    def text_of(name):
        return browser.find_element("id", name).text

    wait.until(lambda _: text_of("status") == "Ready.")
    for sentence in SENTENCES:
        field = browser.find_element("id", "text")
        field.clear()
        field.send_keys(sentence)
        wait.until(lambda _: "ms in this browser" in text_of("status"))
        ids = words([sentence]).numpy()
        probabilities = keras.ops.softmax(model(ids))[0].numpy()
        shown = {
            row.find_element("class name", "label").text: row.find_element(
                "class name", "score"
            ).text
            for row in browser.find_elements("class name", "row")
        }
        assert all(re.fullmatch(r"\d+\.\d %", score) for score in shown.values())
        found = [float(shown[label].removesuffix(" %")) for label in LABELS]
        np.testing.assert_allclose(found, 100 * probabilities, atol=percent)
        assert text_of("answer") == LABELS[probabilities.argmax()]
    browser.save_screenshot(str(tmp_path / "page.png"))
    check_offline(browser, address, num_files=4)


@pytest.mark.long
@pytest.mark.parametrize(("quantization", "atol"), [("none", 1e-4), ("dynamic", 0.05)])
def test_a_raw_file_gives_keras_numbers(quantization, atol, student, browser, tmp_path):
    """One with a loop, which MediaPipe would refuse."""
    from selenium.webdriver.support.wait import WebDriverWait

    words, _ = student
    keras.utils.set_random_seed(0)
    model = kd.students.bilstm(words, 3, embedding_dim=16, units=8)
    model.layers[-1].kernel.assign(500 * model.layers[-1].kernel)
    path = tmp_path / "student.tflite"
    ids = words(SENTENCES).numpy()
    kd.export_tflite(
        model, path, quantization=quantization, representative_data=ids, sequence_length=12
    )
    with served(path, tmp_path / "page", raw=True) as address:
        browser.get(address)
        wait = WebDriverWait(browser, 60)

        def text_of(name):
            return browser.find_element("id", name).text

        wait.until(lambda _: text_of("status") == "Ready.")
        field = browser.find_element("name", "token_ids")
        field.send_keys(" ".join(map(str, ids[0])))
        browser.find_element("tag name", "button").click()
        wait.until(lambda _: "ms in this browser" in text_of("status"))
        name, numbers = text_of("outputs").split(": ")
        assert name == "logits"
        found = [float(number) for number in numbers.split()]
        expected = model(ids[:1]).numpy()[0]
        assert np.ptp(expected) > 5 * atol
        np.testing.assert_allclose(found, expected, atol=atol)
        browser.save_screenshot(str(tmp_path / "page.png"))
        check_offline(browser, address, num_files=5)
        field.clear()
        field.send_keys("1 2 three")
        browser.find_element("tag name", "button").click()
        wait.until(lambda _: text_of("status") == "token_ids takes up to 12 numbers.")


def check_offline(browser, address, num_files):
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert len(loaded) >= num_files
    assert all(url.startswith(address) for url in loaded)
    # The runtimes print what they do, and that there is no NPU, as errors.
    errors = [
        entry
        for entry in browser.get_log("browser")
        if entry["level"] == "SEVERE" and not re.search('"(INFO|WARNING): ', entry["message"])
    ]
    assert not errors


@pytest.mark.long
def test_the_page_that_the_docs_write(student, browser, tmp_path):
    from selenium.webdriver.support.wait import WebDriverWait

    words, model = student
    text = (HERE.parents[1] / "docs" / "web.md").read_text(encoding="utf-8")
    (html,) = re.findall(r"^```html\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (package,) = re.findall(r"npm install (@mediapipe\S+)", text)
    try:
        command = ["npm", "install", "--silent", "--prefix", str(tmp_path), package]
        subprocess.run(command, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"npm cannot install the runtime here: {error}")
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    export(student, tmp_path / "student.tflite", "none")
    with serve(tmp_path) as address:
        browser.get(address)
        field, answer = (browser.find_element("id", name) for name in ("text", "answer"))
        WebDriverWait(browser, 60).until(lambda _: field.is_enabled())
        for sentence in SENTENCES:
            field.clear()
            field.send_keys(sentence)
            probabilities = keras.ops.softmax(model(words([sentence])))[0].numpy()
            order = probabilities.argsort()[::-1]
            shown = [line.split() for line in answer.text.splitlines()]
            assert [row[-1] for row in shown] == [LABELS[place] for place in order]
            percents = [float(row[0]) for row in shown]
            np.testing.assert_allclose(percents, 100 * probabilities[order], atol=0.06)
