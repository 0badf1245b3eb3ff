"""The command keras-distill: argparse over the public functions, without its own logic."""

from keras_distill.cli.command import main

__all__ = ["main"]
