"""The teacher's outputs on disk, looked up by the teacher's inputs."""

from keras_distill.data.random_views import RandomViews
from keras_distill.store.teacher_store import TeacherStore

__all__ = ["RandomViews", "TeacherStore"]
