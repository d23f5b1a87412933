"""Intervals by problem, nulls, bands, corrected norms: arrays in, values out."""
