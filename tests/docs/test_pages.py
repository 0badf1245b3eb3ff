"""Every page of the documentation runs, from its first block to its last."""

import pages
import pytest

PAGES = pages.pages()


@pytest.fixture(autouse=True, scope="module")
def no_page_is_left_out():
    assert len(PAGES) > 5


# What Keras says of every data set that comes without shuffle=False.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed, but:UserWarning")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(pages.ROOT)))
class TestPage:
    def test_its_languages_are_known(self, path):
        """Else a block of a new language would go unrun, and nobody would know."""
        text = path.read_text(encoding="utf-8")
        blocks = pages.read_blocks(path)
        # Fences that the blocks were not made of would be missed.
        assert text.count("```") == 2 * len(blocks)
        for block in blocks:
            known = {"python", "sh"} | pages.NOT_RUN
            assert block.language in known, f"line {block.line}: {block.language!r}"

    def test_it_runs(self, path, tmp_path, monkeypatch, request, capsys):
        original = path.with_name("README.md")
        if path.name.startswith("README.") and path != original:
            # A translation need not run again if its code is the original's.
            assert pages.code_of(path) == pages.code_of(original)
        elif pages.code_of(path):
            pages.run_page(path, tmp_path, monkeypatch, request, capsys)


def test_what_is_prepared_has_its_page():
    names = {path.name.split(".")[0].lower() for path in PAGES}
    assert {path.stem for path in pages.PREPARED.glob("*.py")} <= names


def test_the_readmes_first_program_is_short():
    (example, *_) = (
        code for lang, code in pages.code_of(pages.ROOT / "README.md") if lang == "python"
    )
    assert len(example.strip().splitlines()) <= 17
