"""SavedModel export, and what TF Serving reads beside a model."""
