"""What annotators elsewhere call backtracking, and which of their traces are kept for the end.

An event is a sentence that abandons or doubts the path so far. `reasoningflow` has it in its edges:
`plan:backtrack` (a plan that replaces an earlier one) and `reflect:negative` (what came before is
judged wrong). `validate:attack` is left out: it also points at conclusions that something else
speaks against, such as "The answer is 699.". `thought-anchors` has one tag for backtracking and
uncertainty together, a wider thing. The eight episodes of `thinkarm` have none for it.
"""

import hashlib

from backtracking.labels.states import STATES
from backtracking.records.imported import Annotation, LabelledSentence
from backtracking.records.sentences import State

EDGES = frozenset({"plan:backtrack", "reflect:negative"})
"""Types of edges into a sentence that backtracks."""

HELD_BACK_SHARE = 1 / 3
"""Share of the human-labelled traces on which nothing was looked at, chosen or fitted."""

_STATE_BY_NAME: dict[str, State] = {state: state for state in STATES}
_STATE_BY_LABEL: dict[str, State] = {
    # tags of thought-anchors
    "problem_setup": "initializing",
    "plan_generation": "initializing",
    "fact_retrieval": "adding-knowledge",
    "active_computation": "deduction",
    "result_consolidation": "deduction",
    "uncertainty_management": "backtracking",
    "self_checking": "example-testing",
    "final_answer_emission": "final-answer",
    # steps of reasoningflow, where no edge says that one backtracks
    "restatement": "initializing",
    "planning": "initializing",
    "fact": "adding-knowledge",
    "example": "example-testing",
    "reflection": "uncertainty-estimation",
    "reasoning": "deduction",
    "assumption": "deduction",
    "conclusion": "deduction",
    # our own files of labels
    **_STATE_BY_NAME,
}

_EPISODES = frozenset(
    {"Read", "Analyze", "Plan", "Implement", "Explore", "Verify", "Monitor", "Answer"}
)
"""Of thinkarm."""

_WIDER = {"uncertainty_management": "backtracking and uncertainty together"}
"""Labels that are read as backtracking and are more than that, with what they are."""


def state_of(sentence: LabelledSentence) -> State | None:
    """The state that an annotator's labels amount to; None where they cannot tell."""
    if any(edge.kind in EDGES for edge in sentence.edges_in):
        return "backtracking"
    for label in sentence.labels:
        if label in _STATE_BY_LABEL:
            return _STATE_BY_LABEL[label]
    return None


def tells_backtracking(annotation: Annotation) -> bool:
    """Whether an annotator's labels can say that a sentence backtracks."""
    labels = {label for sentence in annotation.sentences for label in sentence.labels}
    return bool(labels) and not labels <= _EPISODES


def wider(annotation: Annotation) -> str:
    """What an annotator's backtracking is where it is a wider thing, in words; else empty."""
    labels = {label for sentence in annotation.sentences for label in sentence.labels}
    return "; ".join(
        f"`{one}`, {what}, a wider thing" for one, what in _WIDER.items() if one in labels
    )


def is_held_back(trace_id: str) -> bool:
    """Whether a human-labelled trace is kept for the final word, by a hash of its name alone."""
    digest = hashlib.sha256(trace_id.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 < HELD_BACK_SHARE
