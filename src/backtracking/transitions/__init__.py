"""State models of traces, all scored on one quantity: the next label, one sentence ahead."""
