"""What keeps a study alive on a rented machine: check it, record it, save it."""
