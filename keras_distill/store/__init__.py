"""The teacher's outputs on disk, looked up by the teacher's inputs."""

from keras_distill.store.beam import label_with_beam

__all__ = ["label_with_beam"]
