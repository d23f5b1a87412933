"""What comes back on a new machine, and what is left to run."""
