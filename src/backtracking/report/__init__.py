"""Tables, README, experiment tracking."""
