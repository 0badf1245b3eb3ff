"""The site builds without a warning, has the whole API, fetches nothing; no link is dead."""

import html.parser
import importlib
import os
import pathlib
import re
import subprocess
import sys
import types
import zlib

import pytest
from browsers import open_browser

import keras_distill as kd

ROOT = pathlib.Path(__file__).parents[2]
READMES = sorted(
    path
    for pattern in ("README*.md", "C*.md", "examples/**/README.md", "benchmarks/README.md")
    for path in ROOT.glob(pattern)
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site's folder, built strictly: a broken link or anchor is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


class Tags(html.parser.HTMLParser):
    """Collects the addresses that a browser loads with a page, not those that it links to."""

    def __init__(self, page):
        super().__init__()
        self.loaded = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        is_loaded = tag != "link" or attrs.get("rel") in ("stylesheet", "icon", "preload")
        if tag != "a" and is_loaded:
            self.loaded += [attrs[name] for name in ("src", "href", "data") if attrs.get(name)]


def test_nothing_comes_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        loaded = Tags(page.read_text(encoding="utf-8")).loaded
        assert loaded, page
        assert not [address for address in loaded if re.match(r"(\w+:)?//", address)], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", sheet.read_text()), sheet


def test_the_search_finds_the_pages(site):
    index = (site / "search" / "search_index.json").read_text()
    for words in ("Distiller has no teacher", "SoftTargetKL", "keras-distill benchmark"):
        assert words in index


def test_the_search_works_from_a_folder(site):
    """Without a server a browser reads neither the index, a .json file, nor starts a worker."""
    from selenium.webdriver.support.wait import WebDriverWait

    with open_browser() as browser:
        browser.get((site / "api" / "index.html").as_uri())
        browser.find_element("css selector", ".md-search__input").send_keys("SimilarityPreserving")
        found = WebDriverWait(browser, 30).until(
            lambda _: browser.find_elements("css selector", ".md-search-result__link")
        )
        addresses = [link.get_attribute("href") for link in found]
    assert any("/api/losses/relations.html" in address for address in addresses)


def inventory(site):
    """What the API's pages describe: objects by their full names."""
    *_, body = (site / "objects.inv").read_bytes().split(b"\n", 4)
    return [line.split(" ")[0] for line in zlib.decompress(body).decode().splitlines()]


def find(name):
    parts = name.split(".")
    # Of a module and a function in it with one name, the page means the function.
    for count in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise ValueError(name)


def test_the_whole_api_and_nothing_private(site):
    names = inventory(site)
    described = [find(name) for name in names]
    wanted = {f"kd.{name}": getattr(kd, name) for name in kd.__all__}
    modules = {name for name, value in wanted.items() if isinstance(value, types.ModuleType)}
    for module in modules:
        parts = wanted[module].__all__
        wanted |= {f"{module}.{part}": getattr(wanted[module], part) for part in parts}
    missing = [
        name
        for name, value in wanted.items()
        if name not in modules and not any(value is other for other in described)
    ]
    assert missing == []
    assert not [name for name in names if re.search(r"\._[a-z]", name)]
    # What a Distiller asks of its losses and objectives stands with their base alone.
    internals = [name for name in names if re.search(r"\.(for_batch|pick|learnt)$", name)]
    assert {name.split(".")[-2] for name in internals} <= {"DistillationLoss"}


def test_no_page_of_the_api_is_endless(site):
    for page in (site / "api").rglob("*.html"):
        assert page.stat().st_size < 180_000, page


def slugs(text):
    """The anchors of a Markdown file, as hosts of repositories make them."""
    without_code = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_outside_of_the_site(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file) if file else path
        assert found.exists(), target
        assert not anchor or anchor in slugs(found.read_text(encoding="utf-8")), target


def test_every_loss_is_among_the_methods():
    """A loss that the table lacks is one that nobody finds."""
    table = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    names = [name for name in kd.losses.__all__ if name[0].isupper()]
    names.remove("DistillationLoss")  # It is the base of all.
    assert [name for name in names if f"`{name}" not in table] == []
