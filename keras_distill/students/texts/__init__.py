"""Students that read texts."""
