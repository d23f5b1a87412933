"""A reproduction with each stage's time."""
