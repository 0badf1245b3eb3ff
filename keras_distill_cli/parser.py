"""The parser of the command's arguments. Errors are one line, with the nearest right option."""

import argparse
import difflib
import importlib.metadata
import platform
import re

from keras_distill_cli import benchmark_command
from keras_distill_cli import compare_command
from keras_distill_cli import describe_command
from keras_distill_cli import export_command
from keras_distill_cli import image_command
from keras_distill_cli import label_command
from keras_distill_cli import predict_command
from keras_distill_cli import text_command

_COMMANDS = {
    "text": text_command,
    "image": image_command,
    "predict": predict_command,
    "compare": compare_command,
    "export": export_command,
    "label": label_command,
    "describe": describe_command,
    "benchmark": benchmark_command,
}
_WRONG_OPTIONS = 2
_WRONG_CHOICE = re.compile(r"argument (.*): invalid choice: '(.*)' \(choose from (.*)\)")
_WORD = re.compile(r"[\w-]+")


def parse(arguments=None):
    """Understands the arguments of the command.

    Args:
        arguments: List of str; None means the arguments of the process.

    Returns:
        An `argparse.Namespace`: the options; run and show, functions; names, a dict from each
        setting to its option, or to its name in the help.
    """
    parser, commands = make_parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        commands[options.command].refuse(unknown[0])
    return options


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings):
        super().__init__(**settings, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message):
        """Ends the process with one line."""
        if found := _WRONG_CHOICE.match(message):
            name, value, choices = found.groups()
            choices = _WORD.findall(choices)
            name = name.removesuffix(" ...")
            message = f"{name} must be one of {', '.join(choices)}. Received: {value}"
            message += _nearest(value, choices)
        message = f"{message[0].upper()}{message[1:]}"
        self.exit(_WRONG_OPTIONS, f"Error: {message}. See: {self.prog} --help\n")

    def refuse(self, argument):
        """Ends the process because of an argument that the command does not have."""
        name = argument.split("=")[0]
        if not name.startswith("-"):
            self.error(f"there is one argument too many: {argument}. Put quotes around spaces")
        options = [option for action in self._actions for option in action.option_strings]
        self.error(f"there is no option {name}{_nearest(name, options)}")


def _nearest(value, choices):
    near = difflib.get_close_matches(value, choices, n=1)
    return f". The nearest is {near[0]}" if near else ""


class _Version(argparse.Action):
    """Prints the versions that a report of an error needs; nothing of them is imported."""

    def __call__(self, parser, namespace, values, option_string=None):
        packages = [f"{name} {_version(name)}" for name in ("keras", "tensorflow")]
        python = f"Python {platform.python_version()}"
        print(f"{parser.prog} {_version('keras-distill')} ({', '.join((*packages, python))})")
        parser.exit()


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def make_parser():
    """The parser, and a dict from the commands' names to theirs."""
    parser = _Parser(
        prog="keras-distill",
        usage="keras-distill COMMAND ...",
        description="Train a small Keras model to imitate a large one, and export it for phones\n"
        "and servers.",
        epilog="keras-distill COMMAND --help explains a command, with an example.",
    )
    parser.add_argument("--version", nargs=0, action=_Version, help="Print versions and exit.")
    added = parser.add_subparsers(
        title="commands",
        metavar="COMMAND ...",
        dest="command",
        required=True,
        prog="keras-distill",
        parser_class=_Parser,
    )
    commands = {}
    for name, module in _COMMANDS.items():
        command = commands[name] = added.add_parser(
            name,
            help=module.TITLE,
            description=module.TITLE,
            epilog=f"example:\n  {module.EXAMPLE}",
        )
        module.add_options(command)
        output = command.add_argument_group("output")
        output.add_argument("--json", action="store_true", help="Print the result as JSON alone.")
        output.add_argument("--quiet", action="store_true", help="Print only the result.")
        output.add_argument(
            "--debug",
            action="store_true",
            help="Show where an error comes from, and what TensorFlow writes.",
        )
        command.usage = f"{command.prog} {_required(command)} [options]"
        command.set_defaults(names=_options_of(command))
    return parser, commands


def _required(command):
    """What must be given, for the first line of the help."""
    return " ".join(
        f"{next(iter(action.option_strings), '')} {action.metavar or action.dest.upper()}".strip()
        + (" ..." if action.nargs in ("+", "*") else "")
        for action in command._actions
        if action.required or not action.option_strings
    )


def _options_of(command):
    """The option of each setting, or the name that the help gives to an argument."""
    return {a.dest: next(iter(a.option_strings), a.metavar) for a in command._actions}
