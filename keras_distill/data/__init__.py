"""The data of a batch: inputs, views, sequences, tasks."""
