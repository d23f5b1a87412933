"""Rows of the stage `probe`: what the chosen cell of each model and target tells on test problems.

In all of them `role` is the model whose activations are read, `target` what is told, `layer` of
`resid_post` and `offset` in tokens from the deciding one. An AUROC is None where it is undefined.
"""

from dataclasses import dataclass, field
from typing import Literal

from backtracking.records.decoding import INLINED
from backtracking.records.edges import Edge
from backtracking.records.intervals import Interval
from backtracking.records.rows.table import Row


@dataclass(frozen=True)
class Choice:
    """What was chosen on dev problems for a cell.

    Attributes:
        baseline: what tells most without activations.
        penalty: of the probe; None where a class is lacking.
        edge: where it lies in its grid.
        dev_auroc: of the probe.
    """

    role: str
    target: str
    layer: int
    offset: int
    baseline: str
    penalty: float | None
    edge: Edge | None
    dev_auroc: float | None


@dataclass(frozen=True)
class ProbeSelection(Row):
    """Everything that was chosen before a test problem was read.

    Attributes:
        chosen_on: the split.
        best: the cell with the largest `dev_auroc` of each role and target.
        cells: all.
    """

    FILE = "probe/selection"

    chosen_on: Literal["dev"]
    best: tuple[Choice, ...]
    cells: tuple[Choice, ...]


@dataclass(frozen=True)
class Probed(Row):
    """The best cell of a role and target on test problems.

    Attributes:
        choice: the cell, with what was chosen on dev.
        auroc: of the probe.
        baseline_auroc: of the best baseline, on the same decisions.
        difference: of the two.
        ceiling: of what no reader of the prefix can rank better; None where that is not known.
        kind_auroc: of the decision's true kind alone, each kind ranked by how often train problems
            turn there; None where the target is a kind itself.
        beyond_kind: the probe's AUROC minus that.
        n_rows: number of decisions.
    """

    FILE = "probe/cells"

    choice: Choice = field(metadata=INLINED)
    auroc: Interval
    baseline_auroc: float | None
    difference: Interval
    ceiling: float | None
    kind_auroc: Interval | None
    beyond_kind: Interval | None
    n_rows: int


@dataclass(frozen=True)
class Within(Row):
    """What the best probe of the action tells among decisions of one kind.

    Attributes:
        kind: of the decisions.
        auroc: of the probe among them: 0.5 where it knows the kind and nothing else.
        n_rows, n_turns: decisions, and those after which the trace turns.
    """

    FILE = "probe/within"

    role: str
    kind: str
    auroc: Interval
    n_rows: int
    n_turns: int


@dataclass(frozen=True)
class Closest:
    """The cell with the largest lower band above its ceiling.

    Attributes:
        excess: its AUROC minus the ceiling's.
        band_low: simultaneous over all cells.
    """

    role: str
    target: str
    layer: int
    offset: int
    excess: float
    band_low: float


@dataclass(frozen=True)
class Ceiling(Row):
    """That no cell tells more than its prefix holds.

    Attributes:
        n_cells: cells whose ceiling is known.
        level: nominal coverage of the band.
        closest: None where no ceiling is known.
    """

    FILE = "probe/ceiling"

    n_cells: int
    level: float
    closest: Closest | None
