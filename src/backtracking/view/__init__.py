"""Traces as people look at them: pages of one file that open from disk, and lines in a terminal."""
