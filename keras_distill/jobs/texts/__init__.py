"""From a table of texts to a student ready to ship."""
