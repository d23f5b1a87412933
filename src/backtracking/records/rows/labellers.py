"""The table of how well labellers find backtracking in real traces, by humans' labels."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from backtracking.records.intervals import Interval
from backtracking.records.rows.table import Row

Subset = Literal["held-back", "open", "all"]
"""Human-labelled traces: kept for the final word, looked at before, and both."""


@dataclass(frozen=True)
class LabellerAgreement(Row):
    """One labeller on one set of human-labelled traces; intervals are by trace.

    Attributes:
        source: the file of traces; in `reasoningflow_aime` the human corrected a judge's labels.
        subset: which of its traces.
        labeller: who is scored; `field` is the markers of the literature.
        kind: `ours`, `judge` or `human`.
        n, n_traces: sentences, and traces that they are from.
        n_positive, n_called: sentences that backtrack by the human, and by the labeller.
        kappa, f1, precision, recall: of backtracking against all else.
    """

    FILE: ClassVar[str] = "labellers/agreement"
    source: str
    subset: Subset
    labeller: str
    kind: Literal["ours", "judge", "human"]
    n: int
    n_traces: int
    n_positive: int
    n_called: int
    kappa: Interval
    f1: Interval
    precision: Interval
    recall: Interval
