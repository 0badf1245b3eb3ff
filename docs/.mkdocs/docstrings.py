"""What griffe's parser of docstrings does not know: call arguments, and examples of a prompt."""

import re
import textwrap

import griffe


class Docstrings(griffe.Extension):
    """Makes Markdown of the sections that Keras has and griffe lacks, before it parses them."""

    def on_object(self, *, obj, **kwargs):
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text):
    text = re.sub(
        r"^(Call arguments|Returns|Yields|Warns):\n((?: +.*\n|\n)+)",
        _as_markdown,
        text + "\n",
        flags=re.MULTILINE,
    )
    text = re.sub(r"^>>>.*\n(?:.+\n)*", _fenced, text, flags=re.MULTILINE)
    # A path with two indices would be a link.
    text = re.sub(r'(?<!`)"\w[^"\n]*\]\[[^"\n]*"', r"`\g<0>`", text)
    return re.sub(r"^Example:$", "**Example:**", text, flags=re.MULTILINE).strip("\n")


def _as_markdown(match):
    """A section; call arguments, `name: text` with deeper lines going on, as a list."""
    title, body = match[1], textwrap.dedent(match[2]).strip()
    if title == "Call arguments":
        entries = [re.sub(r"\s+", " ", entry) for entry in re.split(r"\n(?=\S)", body)]
        body = "\n".join(re.sub(r"^(\w+):", "- **`\\1`** \u2013", entry) for entry in entries)
    return f"**{title}:**\n\n{body}\n\n"


def _fenced(match):
    return f"```pycon\n{match[0]}```\n"
