"""Sets of problems or traces that others have made."""
