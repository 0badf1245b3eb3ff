"""The job that turns a table of texts into a student ready to ship."""
