"""What a batch carries: inputs, views, sequences, tasks."""
