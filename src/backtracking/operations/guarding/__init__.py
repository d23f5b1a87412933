"""What must not leave this machine: secrets, and files that are too large."""
