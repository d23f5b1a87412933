"""Work on a DVC project that outlives the machine it is done on. It imports nothing of a study."""
