"""Runs the command as `python -m keras_distill_cli`."""

import sys

from keras_distill_cli.command import main

sys.exit(main())
