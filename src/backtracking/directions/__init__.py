"""Contrasts, one estimator, event weights, cosines, and what a direction decodes to."""
