"""Checks of a user's arguments: numbers, schedules, names, and optional packages."""
