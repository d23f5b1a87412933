"""Can it run here: fact, verdict, cure."""
