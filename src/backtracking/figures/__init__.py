"""Figures of a study: what stages found in, a matplotlib Figure out, whose title is the finding."""
