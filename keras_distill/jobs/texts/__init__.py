"""From a table of texts to a student that is shipped."""
