"""Verdicts by code: our own, over pairs, and of the literature."""
