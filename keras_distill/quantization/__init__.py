"""What 8 bits need: ways to compute that they can carry, and their rounding."""
