"""Pages that show traces to people: one file each, which opens from disk and asks no network."""
