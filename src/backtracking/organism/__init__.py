"""The model organism: a world in which the true state of every token is known."""
