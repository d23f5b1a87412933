"""Rows of the stage `probe`: what each cell of the grid tells, and whether it can be believed.

In all of them `role` is the model whose activations are read, `anchor` what offsets are counted
from (`decision` or `known`), `target` what is told, `layer` of `resid_post` and `offset` in tokens.
An AUROC is None where it is undefined.
"""

from dataclasses import dataclass, field
from typing import Literal

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval
from backtracking.records.rows.table import Row

Pairs = Literal["all", "absent"]
"""Which test decisions: all, or those whose sentence stands in no trace of a train problem."""


@dataclass(frozen=True)
class Choice:
    """What was chosen on dev problems for a cell.

    Attributes:
        baseline: what tells most without activations.
        penalty: of the probe; None where a class is lacking.
        dev_auroc: of the probe.
    """

    role: str
    anchor: str
    target: str
    layer: int
    offset: int
    baseline: str
    penalty: float | None
    dev_auroc: float | None


@dataclass(frozen=True)
class ProbeSelection(Row):
    """Everything that was chosen before a test problem was read.

    Attributes:
        chosen_on: the split.
        best: the cell with the largest `dev_auroc` of each role, anchor and target, at no offset
            behind the anchor's last.
        cells: all.
    """

    FILE = "probe/selection"

    chosen_on: Literal["dev"]
    best: tuple[Choice, ...]
    cells: tuple[Choice, ...]


@dataclass(frozen=True)
class GridCell(Row):
    """A cell of the grid on test problems.

    Attributes:
        pairs: of which test decisions.
        auroc: of the probe.
        low, high: its interval by problem.
        baseline: name of the best baseline, chosen on dev.
        baseline_auroc: its AUROC on the same decisions.
        difference: of the two.
        difference_low, difference_high: its interval by problem.
        band_low, band_high: simultaneous over the offsets of the layer.
        posterior: AUROC of the exact posterior, where it is known and `pairs` is `all`.
        n_rows: number of decisions.
        n: number of problems.
    """

    FILE = "probe/grid"

    role: str
    anchor: str
    target: str
    pairs: Pairs
    layer: int
    offset: int
    auroc: float | None
    low: float | None
    high: float | None
    baseline: str
    baseline_auroc: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    band_low: float | None
    band_high: float | None
    posterior: float | None
    n_rows: int
    n: int


@dataclass(frozen=True)
class Earliest(Row):
    """The first offset from which on the band of `difference` is above 0; None where there is none.

    Offsets behind an anchor's last are the event itself and do not count.
    """

    FILE = "probe/earliest"

    role: str
    anchor: str
    target: str
    pairs: Pairs
    layer: int
    earliest: int | None


@dataclass(frozen=True)
class Baseline(Row):
    """A baseline on dev problems; `role` is '' where no model has a part in it."""

    FILE = "probe/baselines"

    role: str
    anchor: str
    target: str
    baseline: str
    offset: int
    penalty: float | None
    dev_auroc: float | None


@dataclass(frozen=True)
class Ordered(Row):
    """What the order of tokens within a window adds, at the layer chosen on dev.

    Attributes:
        window: `<first>:<last>` offset from the deciding token.
        ordered_auroc: of a probe on all tokens of the window in order.
        shuffled_auroc: of one on the same tokens permuted.
        difference: of the two, paired by problem.
    """

    FILE = "probe/windows"

    role: str
    target: str
    layer: int
    window: str
    ordered_auroc: float | None
    shuffled_auroc: float | None
    difference: Interval = field(metadata=INLINED)


@dataclass(frozen=True)
class Shuffled(Row):
    """The cell chosen on dev with its labels permuted among the rows of each split.

    Attributes:
        n_shuffles: permutations.
        mean_auroc: of these; it must be 0.5.
        covering_rate: share of their intervals that cover 0.5: nominally the level.
    """

    FILE = "probe/shuffled"

    role: str
    target: str
    layer: int
    offset: int
    n_shuffles: int
    mean_auroc: float | None
    covering_rate: float | None


@dataclass(frozen=True)
class Closest:
    """The cell with the largest lower band above its ceiling.

    Attributes:
        excess: its AUROC minus the ceiling's.
        band_low: simultaneous over all cells of the study.
    """

    role: str
    anchor: str
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
