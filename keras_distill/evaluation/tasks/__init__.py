"""Measures for each task: classification, regression, tagging."""
