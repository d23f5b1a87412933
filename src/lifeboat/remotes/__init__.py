"""The keys and bytes of a DVC remote."""
