"""Arms at decisions: chosen, forced, asked, set free; arrays out, never an interval."""
