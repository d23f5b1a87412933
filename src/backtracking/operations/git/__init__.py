"""What git holds, and how it gets to another machine: commits, branches, and what stays away."""
