"""Finished data on its way to a remote."""
