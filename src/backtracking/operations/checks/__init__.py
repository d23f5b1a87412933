"""What `backtracking doctor` looks at, one topic a module; each returns items."""
