"""Models that learn together, each from the others."""
