"""Layers that models of teachers and of students both contain."""
