"""Finished data brought back, and what is left to run."""
