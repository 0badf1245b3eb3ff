"""Whole jobs: from files with data to a student that is shipped, with the proof."""

from keras_distill.jobs.images.image_job import ImageJob
from keras_distill.jobs.texts.text_job import TextJob

__all__ = ["ImageJob", "TextJob"]
