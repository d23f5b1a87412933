"""Sentences of a trace, the labellers and their agreement."""
