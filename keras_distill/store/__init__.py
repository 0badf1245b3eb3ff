"""The teacher's outputs on disk, looked up by the teacher's inputs."""

__all__ = []
