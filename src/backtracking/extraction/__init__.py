"""Activations around every sentence of a set of traces: planned, run, checked, kept."""
