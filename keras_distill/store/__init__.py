"""The teacher's outputs on disk, found again by what the teacher read."""

from keras_distill.store.teacher_store import TeacherStore

__all__ = ["TeacherStore"]
