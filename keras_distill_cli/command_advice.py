"""Translates a function's error into the command's terms: options instead of Python arguments."""

import re
import shlex

# Options of the command by the function arguments that they set.
_OPTIONS = {
    "representative_data": "--data",
    "num_threads": "--threads",
    "bucket_lengths": "--sequence-length",
    "html": "--html",
    "directory": "--saved-model",
    "path": "--tflite",
    "modules": "--trust",
}
# Advice that only a program can follow.
_PYTHON = re.compile(r"\b[a-z]\w*=|\bkd\.|\bkeras\.|\bread_\w+")
_COLUMNS = re.compile("Give text='(.*?)'(?: and label='(.*?)')?(?=[;.])")
_END_OF_CLAUSE = re.compile(r"(?<=[.;]) (?=[a-zA-Z-])")


def in_options(message, options):
    """Translates a message into the command's terms.

    Args:
        message: An error's message, on one line.
        options: Dict from the command's settings, as argparse names them, to their options;
            positional arguments to their names in the help.

    Returns:
        The message. Names of arguments are options; advice on others is left out.
    """
    options = {name: option for name, option in options.items() if option} | {
        name: option for name, option in _OPTIONS.items() if option in options.values()
    }
    first, *others = _END_OF_CLAUSE.split(message)
    name, _, rest = first.partition(" ")
    if name in options and rest.startswith(("must", "needs", "is the folder")):
        first = f"{options[name]} {rest}"
    clauses = [_with_options(first, options)]
    for clause in others:
        translated = _with_options(clause, options)
        if clause.startswith("Received") or not _PYTHON.search(translated):
            clauses.append(translated)
    text = " ".join(clauses)
    return f"{text[:-1]}." if text.endswith(";") else text


def _with_options(clause, options):
    columns = [options[name] for name in ("text", "label") if name in options]
    clause = clause.replace("text= and label=", " and ".join(columns))
    if found := _COLUMNS.match(clause):
        given = zip(("text", "label"), found.groups())
        added = [f"{options[n]} {shlex.quote(v)}" for n, v in given if v and n in options]
        clause = f"Add {' '.join(added)}{clause[found.end() :]}"
    for name, option in options.items():
        # The settings in which two jobs differ.
        clause = re.sub(rf"(^|where ){name} was ", rf"\1{option} was ", clause)
        if name in ("text", "label"):
            # In this message it is the value of a cell.
            continue
        clause = re.sub(rf"(?<![\w'\"/.-]){name}=(?=\S)", f"{option} ", clause)
        if "_" in name:
            # A name with an underscore is not an English word, so it can be replaced anywhere.
            clause = re.sub(rf"(?<![\w'\"/.-]){name}\b(?!=)", option, clause)
        clause = clause.replace(f"Received: {option} None", f"Received: no {option}")
    return clause
