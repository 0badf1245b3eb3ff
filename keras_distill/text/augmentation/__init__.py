"""New texts for a transfer set."""
