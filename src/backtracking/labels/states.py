"""The states that a sentence can have."""

STATES = (
    "initializing",
    "deduction",
    "adding-knowledge",
    "example-testing",
    "uncertainty-estimation",
    "backtracking",
    "final-answer",
)


UNPARSED = "unparsed"
"""Label of a sentence that is none of the world's."""
