"""README.md runs like the pages of the site, in every language."""

import pages
import pytest

README = pages.ROOT / "README.md"
TRANSLATIONS = [path for path in pages.pages("README*.md") if path != README]


# What Keras says of every data set that comes without shuffle=False.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed, but:UserWarning")
@pytest.mark.long
def test_it_runs(tmp_path, monkeypatch, request, capsys):
    pages.run_page(README, tmp_path, monkeypatch, request, capsys)


@pytest.mark.parametrize("path", TRANSLATIONS, ids=pages.name_of)
def test_a_translation_has_the_same_code(path):
    """So it need not run again."""
    translated, blocks = ([b[:2] for b in pages.read_blocks(p)] for p in (path, README))
    assert translated == blocks


def test_its_first_program_is_short():
    example = next(code for language, code in pages.code_of(README) if language == "python")
    assert len(example.splitlines()) <= 17
