"""What can be decoded, beyond which baseline, below which ceiling."""
