"""Callbacks of `fit`: backups, pruning, schedules, data that go on."""
