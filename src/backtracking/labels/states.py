"""The states that a sentence can have."""

from backtracking.records.sentences import State

STATES: tuple[State, ...] = (
    "initializing",
    "deduction",
    "adding-knowledge",
    "example-testing",
    "uncertainty-estimation",
    "backtracking",
    "final-answer",
)

UNPARSED: State = "unparsed"
"""Label of a sentence that is none of the world's."""
