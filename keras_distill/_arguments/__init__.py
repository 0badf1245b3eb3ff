"""Checks of what a user gives: numbers, schedules, names, packages that may be missing."""
