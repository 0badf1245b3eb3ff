"""The command keras-distill: its parser, its errors and its exit codes."""

import argparse
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
from keras_distill.cli import benchmark_command
from keras_distill.cli import compare_command
from keras_distill.cli import describe_command
from keras_distill.cli import export_command
from keras_distill.cli import image_command
from keras_distill.cli import label_command
from keras_distill.cli import text_command
from keras_distill.cli.command_advice import in_options
from keras_distill.cli.plain_output import PlainOutput

_COMMANDS = {
    "text": text_command,
    "image": image_command,
    "label": label_command,
    "export": export_command,
    "compare": compare_command,
    "describe": describe_command,
    "benchmark": benchmark_command,
}
_SUCCESS, _FAILURE, _INTERRUPTED = 0, 1, 130


def main(arguments=None):
    """Runs the command.

    Args:
        arguments: List of str; None means the arguments of the process.

    Returns:
        The exit code: 0 for success, 1 for an error, 130 for Ctrl-C; argparse exits with 2 for
        wrong options.
    """
    for stream in (sys.stdout, sys.stderr):
        # The terminal's encoding may lack letters of paths, classes and texts.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    # This is for child processes; TensorFlow's messages on import cannot be silenced here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    answers = sys.stdout
    try:
        trusted = kd.HubLayer.trusted(getattr(options, "trust", ()))
        with _progress(options), _plain_warnings(options), trusted:
            result = options.run(options)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:
        if options.debug:
            print(printable_lines(traceback.format_exc()), file=sys.stderr)
        print(f"Error: {in_options(_explain(error), options.names)}", file=sys.stderr)
        return _FAILURE
    text = json.dumps(result, indent=2) if options.json else printable_lines(options.show(result))
    print(text, file=answers)
    return _SUCCESS


def _parser():
    parser = argparse.ArgumentParser(
        prog="keras-distill",
        description="Trains a small Keras model from a large one, ships it, and proves it.",
        epilog="keras-distill COMMAND --help has an example of each.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.TITLE,
            description=f"{module.TITLE[0].upper()}{module.TITLE[1:]}.",
            epilog=module.EXAMPLE,
        )
        command.add_argument("--json", action="store_true", help="print the result as JSON alone")
        command.add_argument("--quiet", action="store_true", help="no progress, only the result")
        command.add_argument("--debug", action="store_true", help="show where an error comes from")
        module.add_options(command)
        command.set_defaults(names=_options_of(command))
    return parser


def _options_of(command):
    """The option of each setting; None for settings without an option."""
    return {action.dest: next(iter(action.option_strings), None) for action in command._actions}


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


if __name__ == "__main__":
    sys.exit(main())
