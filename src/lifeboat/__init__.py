"""Work on a DVC project that outlives its machine: saved, proven, watched, brought back. Knows DVC,
git and buckets, and nothing of what is studied.
"""
