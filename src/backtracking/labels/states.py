"""The states that a sentence can have."""

from typing import get_args

from backtracking.records.sentences import State

UNPARSED: State = "unparsed"
"""Label of a sentence that is none of the world's."""

STATES: tuple[State, ...] = tuple(one for one in get_args(State) if one != UNPARSED)
"""All other labels."""
