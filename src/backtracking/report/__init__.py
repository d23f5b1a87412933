"""What readers are told: prose whose numbers come from the committed results."""
