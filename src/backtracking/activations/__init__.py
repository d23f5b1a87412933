"""What a store of activations is, and how it is read."""
