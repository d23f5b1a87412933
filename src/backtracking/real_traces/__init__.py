"""What other people's traces of real reasoning models say by themselves, without a model."""
