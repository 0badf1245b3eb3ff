"""The command keras-distill: argparse over the public functions, no logic of its own."""

from keras_distill.cli.command import main

__all__ = ["main"]
