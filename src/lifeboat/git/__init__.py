"""What git holds, and how it travels."""
