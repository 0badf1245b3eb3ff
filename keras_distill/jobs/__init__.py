"""Whole jobs: from files with data to a student that is shipped, with the proof."""

from keras_distill.jobs.image_job import ImageJob
from keras_distill.jobs.text_job import TextJob

__all__ = ["ImageJob", "TextJob"]
