"""The command keras-distill, from its arguments to its exit code.

This module and those of the commands import neither Keras nor TensorFlow at their top.
"""

import sys

from keras_distill_cli.parser import parse
from keras_distill_cli.quiet import quiet

_FAILURE, _INTERRUPTED = 1, 130


def main(arguments=None):
    """Runs the command.

    Args:
        arguments: List of str; None means the arguments of the process.

    Returns:
        The exit code: 0 for success, 1 for an error, 130 for Ctrl-C. Wrong options exit with 2.
    """
    options = parse(arguments)
    try:
        with quiet(options.debug) as forget:
            try:
                # This imports Keras, after it has checked the backend.
                from keras_distill_cli.running import run
            except ImportError as error:
                if options.debug:
                    raise
                print(f"Error: {error}", file=sys.stderr)
                return _FAILURE
            forget()
            return run(options)
    except KeyboardInterrupt:
        # What is written into a folder is written stage by stage.
        resumes = " Run the same command again: it resumes." if "output" in options.names else ""
        print(f"\nStopped.{resumes}", file=sys.stderr)
        return _INTERRUPTED
