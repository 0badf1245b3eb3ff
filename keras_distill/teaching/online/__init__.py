"""Online distillation: models that learn together, each from the others."""
