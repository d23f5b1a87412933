"""What is measured of belief: ceilings, nulls, betas and their verdicts, and the claim."""
