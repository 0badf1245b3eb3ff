"""Runs a command whose options are understood: its progress, its answer and its errors."""

import contextlib
import io
import json
import os
import sys
import traceback
import warnings

import keras_distill as kd
from keras_distill._arguments.printable import one_line
from keras_distill._arguments.printable import printable_lines
from keras_distill.jobs import interruption
from keras_distill_cli.command_advice import in_options
from keras_distill_cli.plain_output import PlainOutput

_SUCCESS, _FAILURE = 0, 1


def run(options):
    """Runs a command, and prints its answer or its error.

    Args:
        options: What the parser made of the arguments.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        # The terminal's encoding may lack letters of paths, classes and texts.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    answers = sys.stdout
    with interruption.watched():
        return _run(options, answers)


def _run(options, answers):
    try:
        trusted = kd.HubLayer.trusted(getattr(options, "trust", ()))
        with _progress(options), _plain_warnings(options), trusted:
            result = options.run(options)
    except Exception as error:
        # TensorFlow makes other errors of an interrupt that comes while it calls Python.
        interruption.check()
        if options.debug:
            print(printable_lines(traceback.format_exc()), file=sys.stderr)
        print(f"Error: {in_options(_explain(error), options.names)}", file=sys.stderr)
        return _FAILURE
    text = json.dumps(result, indent=2) if options.json else printable_lines(options.show(result))
    try:
        print(text, file=answers, flush=True)
    except BrokenPipeError:
        # The reader, such as head, has seen enough. Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), answers.fileno())
    return _SUCCESS


@contextlib.contextmanager
def _plain_warnings(options):
    """Prints warnings without the source line, which does not help users of the command."""
    before = warnings.formatwarning
    if not options.debug:
        warnings.formatwarning = lambda message, *_, **__: f"Warning: {one_line(message)}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextlib.contextmanager
def _progress(options):
    """Sends progress output to nowhere, to stderr if JSON is printed, or to stdout."""
    if options.quiet:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
        return
    stream = sys.stderr if options.json else sys.stdout
    output = contextlib.nullcontext(stream) if stream.isatty() else PlainOutput(stream)
    with output as opened, contextlib.redirect_stdout(opened):
        yield


def _explain(error):
    """Explains an error in one line, with advice if memory is short."""
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return (
            "There is not enough memory. Lower --sequence-length or --vocabulary-size, give fewer "
            f"texts, or take a smaller teacher. {one_line(error)}"
        )
    return one_line(error)
