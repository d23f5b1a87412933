"""Whether an answer is right, without a guess: what cannot be told is `unparsable`."""
