"""Belief or action: doses, minimal pairs, readouts under every arm; arrays out."""
