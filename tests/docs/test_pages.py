"""Every page of the site runs, from its first block to its last."""

import pages
import pytest

PAGES = pages.pages("docs/**/*.md")


@pytest.mark.long
# What Keras says of every data set that comes without shuffle=False.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed, but:UserWarning")
# KerasTuner's, of Python's threads.
@pytest.mark.filterwarnings("ignore:(currentThread|getName).. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("path", [p for p in PAGES if pages.code_of(p)], ids=pages.name_of)
def test_it_runs(path, tmp_path, monkeypatch, request, capsys):
    pages.run_page(path, tmp_path, monkeypatch, request, capsys)


@pytest.mark.parametrize("path", [*PAGES, *pages.pages("README*.md")], ids=pages.name_of)
def test_its_languages_are_known(path):
    """Else a block of a new language would go unrun, and nobody would know."""
    blocks = pages.read_blocks(path)
    # Fences that the blocks were not made of would be missed.
    assert path.read_text(encoding="utf-8").count("```") == 2 * len(blocks)
    for block in blocks:
        known = {"python", "sh"} | pages.NOT_RUN
        assert block.language in known, f"line {block.line}: {block.language!r}"


def test_what_is_prepared_has_its_page():
    names = {pages.prepared_name(path) for path in [*PAGES, *pages.pages("README*.md")]}
    assert {path.name for path in pages.PREPARED.glob("*.py")} <= names
