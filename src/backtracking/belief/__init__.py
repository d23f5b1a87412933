"""Belief or action: doses, minimal pairs, betas, verdicts."""
