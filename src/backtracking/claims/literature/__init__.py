"""The published claims, each beside what this study finds."""
