"""Shards and checkpoints of stages that have not finished: kept, sent and brought back."""
