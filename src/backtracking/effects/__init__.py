"""What measured arms amount to beside their nulls; never a model."""
