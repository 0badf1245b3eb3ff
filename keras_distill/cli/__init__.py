"""The command keras-distill: argparse over the public functions."""

from keras_distill.cli.command import main

__all__ = ["main"]
