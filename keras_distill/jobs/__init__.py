"""Whole jobs: from data files to a student ready to ship, with a report on its quality."""

from keras_distill.jobs.images.image_job import ImageJob
from keras_distill.jobs.texts.text_job import TextJob

__all__ = ["ImageJob", "TextJob"]
