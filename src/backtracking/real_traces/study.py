"""All tables of real traces: made from the folder of the traces, written, and compared."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from backtracking.figures.labellers import labellers
from backtracking.figures.picture import file_of
from backtracking.labels.benchmark import benchmark
from backtracking.labels.labelling import BOOTSTRAP
from backtracking.real_traces import definitions, excitation, order, stability
from backtracking.records import reader
from backtracking.records.imported import lines_of, read_traces
from backtracking.records.resamples import read_resamples
from backtracking.records.rounding import rounded
from backtracking.records.rows.labellers import LabellerAgreement
from backtracking.records.rows.real_traces import TABLES, Events, Source
from backtracking.records.rows.table import Row, read_rows, write_rows
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.items import Item
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

MATH, RESAMPLES = "thought_anchors_math.jsonl.gz", "thought_anchors_resamples.jsonl.gz"
HUMAN, AIME = "reasoningflow_human.jsonl.gz", "reasoningflow_aime.jsonl.gz"

ANCHORS = ("interp-reasoning/thought-anchors.com", "68acc04", "MIT")
FLOWS = ("jinulee-v/reasoningflow", "c5a0696", "Apache-2.0, by its dataset card")
TAKEN_FROM = {MATH: ANCHORS, RESAMPLES: ANCHORS, HUMAN: FLOWS, AIME: FLOWS}
"""Repository, commit and licence of every file that is read."""

N_DRAWN, SEED = 99, 0
"""How often traces are drawn again to see what no memory gains."""

DIGITS = 6
"""Decimals that are kept."""

TOLERANCE = 1e-4
"""By which another machine's numbers may differ."""

Tables = Mapping[type[Row], Sequence[Row]]

ALL: tuple[type[Row], ...] = (*TABLES, LabellerAgreement)

FIGURE = f"{LabellerAgreement.FILE}.svg"
"""Beside its table."""


def measure(folder: Path, bootstrap: Bootstrap = BOOTSTRAP, n_drawn: int = N_DRAWN) -> Tables:
    """Every table.

    Args:
        folder: of the traces.
        bootstrap: of all intervals.
        n_drawn: draws of the null of the orders.

    Raises:
        UserError: where a file is missing or broken.
    """
    sources = [_source(folder / name) for name in TAKEN_FROM]
    traces = read_traces(folder / MATH)
    positions = stability.positions_of(traces)
    tagged = order.tagged(traces)
    marked = [excitation.marked(traces, events) for events in get_args(Events)]
    resamples = read_resamples(folder / RESAMPLES)
    rows: list[Row] = [
        *sources,
        *stability.stability(positions, bootstrap),
        *stability.distribution(positions, bootstrap),
        *stability.one_more_draw(positions, bootstrap),
        *definitions.by_definition(traces, resamples, bootstrap),
        *order.orders(tagged, bootstrap),
        *order.order_null(tagged, n_drawn, SEED),
        *(row for one in marked for row in excitation.lagged(one, bootstrap)),
        *(excitation.excited(one, bootstrap) for one in marked),
        *benchmark(folder, bootstrap),
    ]
    return {cls: [rounded(row, DIGITS) for row in rows if type(row) is cls] for cls in ALL}


def write(tables: Tables, results: Path) -> list[Item]:
    """Writes every table below a folder of results, and the figure of labellers."""
    for cls, rows in tables.items():
        write_rows(cls, rows, results / cls.FILE.partition("/")[0])
    if LabellerAgreement in tables:
        artifacts.write_bytes(results / FIGURE, drawn(read_rows(LabellerAgreement, results)))
    return [Item(f"{cls.FILE}.json: {len(rows)} rows.", "ok") for cls, rows in tables.items()]


def check(tables: Tables, results: Path) -> list[Item]:
    """Whether the tables of a folder of results are these."""
    cure = "Write them again: `backtracking real-traces FOLDER`."
    return [
        Item(f"{cls.FILE}.json is what the traces give.", "ok")
        if is_near(reader.encode(list(rows)), reader.encode(read_rows(cls, results)))
        else Item(f"{cls.FILE}.json is not what the traces give.", "wrong", cure)
        for cls, rows in tables.items()
    ]


def drawn(rows: Sequence[LabellerAgreement]) -> bytes:
    """The figure of labellers, or a file that says why there is none."""
    return file_of(labellers(rows))


def is_near(one: Any, other: Any) -> bool:
    """Whether two values of JSON are the same but for the last digits of their numbers."""
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, abs_tol=TOLERANCE, rel_tol=TOLERANCE)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_near(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_near, one, other))
    return bool(one == other)


def _source(path: Path) -> Source:
    if not path.is_file():
        raise UserError(f"{path} does not exist.", "Name the folder of the traces.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Source(path.name, digest, len(lines_of(path)), *TAKEN_FROM[path.name])
