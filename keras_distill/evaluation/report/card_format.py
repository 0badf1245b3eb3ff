"""A model card: what files are, how they were made, how to use them, what they cannot do."""

import dataclasses
import json
import re

from keras_distill._arguments.printable import printable
from keras_distill._arguments.printable import printable_lines


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a card.

    Args:
        title: Its heading.
        sentences: Paragraphs.
        items: A list of sentences.
        facts: Pairs of a term and its value.
        code: Pairs of a language and a program.
    """

    title: str
    sentences: tuple = ()
    items: tuple = ()
    facts: tuple = ()
    code: tuple = ()


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """A model card, for the page and for a file in the form of Hugging Face's.

    Args:
        title: The heading.
        metadata: JSON-compatible dict for the YAML at the beginning of the file.
        to_fill_in: Lines of YAML for the reader to complete, written as comments.
        sections: Tuple of `Section`s.

    Reference: https://huggingface.co/docs/hub/model-cards
    """

    title: str
    metadata: dict
    to_fill_in: tuple
    sections: tuple

    def to_markdown(self):
        """The card as Markdown with YAML at its beginning."""
        lines = ["---", *(f"# {line}" for line in self.to_fill_in)]
        # JSON is YAML; its escapes keep names from data harmless.
        lines += [f"{key}: {json.dumps(value)}" for key, value in self.metadata.items()]
        lines += ["---", "", f"# {_escaped(self.title)}"]
        for section in self.sections:
            lines += ["", f"## {_escaped(section.title)}"]
            for sentence in section.sentences:
                lines += ["", _escaped(sentence)]
            if section.items:
                lines += ["", *(f"- {_escaped(item)}" for item in section.items)]
            if section.facts:
                lines += ["", "| | |", "|---|---|"]
                lines += [
                    f"| {_escaped(term)} | {_escaped(value)} |" for term, value in section.facts
                ]
            for language, program in section.code:
                # A fence that is longer than all in the program.
                fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", program) or [""]))
                lines += ["", f"{fence}{language}", printable_lines(program), fence]
        return "\n".join(lines)


def _escaped(text):
    return re.sub(r"([\\`*_\[\]<>|&])", r"\\\1", printable(text))
