"""Number searches in natural language, whose truth is known exactly."""
