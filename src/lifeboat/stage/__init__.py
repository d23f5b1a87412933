"""What a stage stands on: whole files, units of expensive work, stopping well, progress."""
