"""How a stage runs: parameters in, folders out, cores."""
