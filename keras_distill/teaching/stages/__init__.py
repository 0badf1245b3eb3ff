"""Training one student in stages, and chains of students that become teachers."""
