"""Tables, figures, README, experiment tracking."""
