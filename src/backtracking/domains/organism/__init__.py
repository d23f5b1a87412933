"""The organism: a world of sums, the writer of its searches, and every true state of a trace."""
