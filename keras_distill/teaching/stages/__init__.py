"""One student in stages, and students that become teachers."""
