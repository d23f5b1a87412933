"""Which state model describes a trace, and what activations add."""
