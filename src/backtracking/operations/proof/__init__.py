"""Whether a remote holds what is expected of it, object by object."""
