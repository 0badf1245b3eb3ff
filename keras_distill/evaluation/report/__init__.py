"""A comparison as one HTML page that needs no network."""

from keras_distill.evaluation.report.page import check_page
from keras_distill.evaluation.report.page import render

__all__ = ["check_page", "render"]
