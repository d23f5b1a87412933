"""A causal language model: loaded, hooked, edited, run, sampled, trained."""
