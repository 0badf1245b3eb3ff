"""Callbacks of `fit`: backups that a kill leaves whole, and pruning."""

from keras_distill.callbacks.backup import BackupAndRestore
from keras_distill.callbacks.pruning import Pruning

__all__ = ["BackupAndRestore", "Pruning"]
