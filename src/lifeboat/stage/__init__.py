"""What a stage stands on: units of work that are kept, whole files, stopping well, progress."""
