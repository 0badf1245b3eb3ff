"""SavedModel export, and the other files that TF Serving reads."""
