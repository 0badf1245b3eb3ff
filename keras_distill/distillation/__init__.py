"""One batch through `fit`: the model that teaches a student, and its parts."""
