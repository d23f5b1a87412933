"""Rows of results: what a stage found, one dataclass a table, one file a stage."""
