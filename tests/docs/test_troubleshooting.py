"""The page of error messages: it has them all, and what it quotes is what the package says."""

import ast
import pathlib
import re

import keras_distill

ROOT = pathlib.Path(keras_distill.__file__).parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"
# What stands in a message for a value.
VALUE = "\0"


def text_of(node):
    """The text of an expression with VALUE for what is computed; None if it is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [text_of(part) for part in node.values]
        return "".join(VALUE if part is None else part for part in parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return "".join(text_of(part) or VALUE for part in (node.left, node.right))
    return None


def trees():
    paths = ROOT.glob("keras_distill*/**/*.py")
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def raised_texts():
    """Lists `(place, text)` of all messages that stand in a raise."""
    found = []
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                texts = [text_of(argument) for argument in node.exc.args]
                # Of an OSError the first argument is its number.
                text = next((text for text in texts if text and text.strip(VALUE)), None)
                # Two values, or one and then a sentence: it is put together elsewhere.
                is_whole = text is not None and not re.match(f"{VALUE} [A-Z{VALUE}]", text)
                if is_whole and ast.unparse(node.exc.func).endswith("Error"):
                    found.append((f"{path.relative_to(ROOT)}:{node.lineno}", text))
    return found


def quotes():
    """The beginnings of messages on the page, as patterns."""
    entries = re.findall(r"^ *- ((?:`[^`]+`,?\s+)*`[^`]+`)(?=[:,])", PAGE.read_text(), re.MULTILINE)
    found = [re.sub(r"\s+", " ", q) for entry in entries for q in re.findall(r"`([^`]+)`", entry)]
    return {quote: pattern(quote) for quote in found}


def pattern(quote):
    # A value may be quoted, and lists of words stand for one value.
    return re.compile(VALUE.join(map(re.escape, quote.rstrip(". ").split("..."))))


def without_value(text):
    """The text behind a value that it begins with."""
    return text.removeprefix(f"{VALUE} ")


def test_what_is_quoted_is_said():
    texts = [text for tree in trees().values() for text in map(text_of, ast.walk(tree)) if text]
    texts += list(map(without_value, texts))
    said = quotes()
    assert len(said) > 250
    assert [q for q, p in said.items() if not any(map(p.match, texts))] == []


def test_no_heading_stands_twice():
    headings = re.findall(r"^#+ .*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(headings)) == len(headings)


def test_every_message_is_there():
    patterns = list(quotes().values())
    missing = [
        (place, text.replace(VALUE, "..."))
        for place, text in raised_texts()
        if not any(p.match(text) or p.match(without_value(text)) for p in patterns)
    ]
    assert missing == []
