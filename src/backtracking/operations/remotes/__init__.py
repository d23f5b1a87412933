"""The DVC remote: where it is, its keys and bytes, and what its failures mean."""
