"""Callbacks of `fit`: backups, pruning, schedules, resumed data."""
