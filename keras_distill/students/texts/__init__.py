"""Students for texts."""
