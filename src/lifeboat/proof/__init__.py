"""Is it there, readable and right, object by object."""
