"""Backup, push, snapshot and log; the parts of unfinished stages."""
