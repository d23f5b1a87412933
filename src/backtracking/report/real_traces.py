"""What real traces say, as docs/findings.md has it: from the tables that git holds."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from backtracking.claims.literature import stability
from backtracking.records import reader
from backtracking.records.intervals import Interval
from backtracking.records.rows.labellers import LabellerAgreement
from backtracking.records.rows.real_traces import (
    ByDefinition,
    Excited,
    Lagged,
    OneMoreDraw,
    Order,
    OrderNull,
    Source,
    Stability,
    StabilityBin,
)
from backtracking.records.rows.table import Row, first
from backtracking.report.committed import show
from backtracking.report.exploratory import claim_line
from backtracking.report.labellers import labellers_table
from backtracking.report.words import interval, markdown, number, p_value, signed

R = TypeVar("R", bound=Row)

NOTHING = "Not measured: `backtracking real-traces FOLDER` measures it where the traces are."


@dataclass(frozen=True)
class RealTraces:
    """The tables of one revision, each read where it is asked for.

    Attributes:
        root: the project.
        revision: as git names it.
    """

    root: Path
    revision: str

    def rows(self, cls: type[R]) -> list[R]:
        """The rows of a table; none where the revision has none."""
        path = f"results/{cls.FILE}.json"
        text = show(self.root, self.revision, path)
        return reader.decode_list(cls, json.loads(text), path) if text else []


def blocks(root: Path, revision: str) -> dict[str, str]:
    """Every block by name."""
    found = RealTraces(root, revision)
    is_there = bool(found.rows(Source))
    return {name: write(found) if is_there else NOTHING for name, write in BLOCKS.items()}


def stability_block(found: RealTraces) -> str:
    """The claim, the shares of sentences that come back, and their distribution."""
    rows = found.rows(Stability)
    claim = stability.real(rows, found.rows(OneMoreDraw))
    bins = found.rows(StabilityBin)
    return "\n\n".join(
        [
            claim_line(claim) if claim else "",
            markdown(
                [
                    "begins with", "where", "sentences", "mean", "median", "below 0.5",
                    "below 0.8", "rates below 0.5", "rates below 0.8", "fewer than 8 of 10",
                    "never",
                ],
                [_stability(row) for row in rows],
            ),
            markdown(
                ["share of continuations", *(f"{one.low:g} to {one.high:g}" for one in bins)],
                [["sentences", *(_short(one.share) for one in bins)]],
            ),
        ]
    )  # fmt: skip


def _stability(row: Stability) -> list[str]:
    measures = (
        row.mean, row.median, row.below_half, row.below_most, row.rates_below_half,
        row.rates_below_most, row.of_ten, row.never,
    )  # fmt: skip
    begins = '"Wait"' if row.begins == "wait" else "anything else"
    return [begins, row.place, str(row.n), *map(_short, measures)]


def draws_block(found: RealTraces) -> str:
    """Whether what stands in a trace is like what is written after its prefix."""
    places = markdown(
        [
            "where", "prefixes", '"Wait" stands there', "expected", "expected to standing",
            "mean if one more draw", "below 0.5", "below 0.8", "fewer than 8 of 10",
        ],
        [
            [
                row.place, str(row.n), str(row.n_wait), f"{row.expected:.0f}", _short(row.ratio),
                *map(_short, (row.mean, row.below_half, row.below_most, row.of_ten)),
            ]
            for row in found.rows(OneMoreDraw)
        ],
    )  # fmt: skip
    definitions = markdown(
        ["event", "prefixes", "events", "expected to standing", "mean", "fewer than 8 of 10"],
        [
            [
                DEFINITIONS[row.definition], str(row.n_positions), str(row.n_events),
                *(number(one.value) for one in (row.ratio, row.mean, row.of_ten)),
            ]
            for row in found.rows(ByDefinition)
        ],
    )  # fmt: skip
    return f"{places}\n\n{definitions}"


DEFINITIONS = {
    "first word": 'begins with "Wait"',
    "first words": '"wait" among the first three words',
    "rules": "markers of `rules`",
}
"""What counts as an event, in words."""


def order_block(found: RealTraces) -> str:
    """What chains of labels cost, and what of a gain is memory."""
    null_by_model = {row.model: row for row in found.rows(OrderNull)}
    headings = [
        "chain", "nats a sentence", "gain over order 1", "gain without memory, at most", "p",
    ]  # fmt: skip
    return markdown(
        headings, [_order(row, null_by_model.get(row.model)) for row in found.rows(Order)]
    )


def _order(row: Order, null: OrderNull | None) -> list[str]:
    beside = ["", ""]
    if null is not None:
        beside = [
            f"{signed(null.null_mean)}, {signed(null.null_high)} of {null.n}",
            p_value(null.p),
        ]
    gain = "" if row.model == "markov_1" else _signed(-row.score.difference)
    return [CHAINS[row.model], _short(row.score.nll), gain, *beside]


CHAINS = {
    "iid": "no memory",
    "markov_1": "order 1",
    "markov_2": "order 2",
    "markov_3": "order 3",
    "semi_markov": "order 1 and dwell",
}
"""Chains in words."""


def bursts_block(found: RealTraces) -> str:
    """Pairs of events by distance, and the self-exciting process."""
    lags = found.rows(Lagged)
    distances = list(dict.fromkeys((row.first, row.last) for row in lags))
    by_events = {
        name: [first(lags, events=name, first=low, last=high) for low, high in distances]
        for name in EVENTS
    }
    pairs = markdown(
        ["pairs to pairs after shuffling", *(_distance(*one) for one in distances)],
        [
            [EVENTS[name], *("" if row is None else _short(row.ratio) for row in rows)]
            for name, rows in by_events.items()
        ],
    )
    process = markdown(
        [
            "process", "events", "rate", "excitation", "memory", "own rate gains, mnat",
            "kernel gains, mnat", "kernel beyond own rate, mnat",
            "kernel beyond own rate and common drift, mnat",
        ],
        [_process(row) for row in found.rows(Excited)],
    )  # fmt: skip
    drifts = " ".join(_drift(row) for row in found.rows(Excited) if _is_less(row))
    return "\n\n".join(one for one in (pairs, process, drifts) if one)


def _is_less(row: Excited) -> bool:
    """Whether less than half of what a kernel gains is left beside a common drift."""
    before, left = row.kernel_beyond_own_rate.value, row.kernel_beyond_profile.value
    return before is not None and left is not None and left < before / 2


def _drift(row: Excited) -> str:
    """That what a kernel gains may be drift, beside what is left without it."""
    before, left = row.kernel_beyond_own_rate, row.kernel_beyond_profile
    return (
        f"What the kernel of events ({EVENTS[row.events]}) gains beyond the own rate, "
        f"{_fine(before)} mnat, may be drift that is common to all traces: with a rate "
        f"for each tenth of a trace, whose length is taken as known, {_fine(left)} mnat are left."
    )


EVENTS = {"wait": 'begins with "Wait"', "tag": "the judge's tag `uncertainty_management`"}
"""Events in words."""


def _process(row: Excited) -> list[str]:
    gains = (row.own_rate, row.kernel, row.kernel_beyond_own_rate, row.kernel_beyond_profile)
    shares = (row.rate, row.excitation)
    return [
        EVENTS[row.events],
        str(row.n_events),
        *map(_short, shares),
        _short(row.memory),
        *map(_fine, gains),
    ]


def _distance(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low} to {high}"


def labellers_block(found: RealTraces) -> str:
    """How well labellers find what humans call backtracking."""
    return labellers_table(found.rows(LabellerAgreement))


def sources_block(found: RealTraces) -> str:
    """What was read."""
    return markdown(
        ["file", "lines", "from", "commit", "licence", "SHA-256"],
        [
            [f"`{row.file}`", str(row.n_lines), f"`{row.repository}`", row.commit, row.licence,
             f"`{row.sha256[:16]}`"]
            for row in found.rows(Source)
        ],
    )  # fmt: skip


def _short(one: Interval) -> str:
    ends = interval(one.low, one.high)
    return f"{number(one.value)} ({ends})" if ends else number(one.value)


def _signed(one: Interval) -> str:
    return f"{signed(one.value)} ({interval(one.low, one.high)})"


def _fine(one: Interval) -> str:
    """A gain in thousandths of a nat."""
    value, low, high = (None if x is None else 1000 * x for x in (one.value, one.low, one.high))
    return _short(Interval(value, low, high, one.n))


BLOCKS: Mapping[str, Callable[[RealTraces], str]] = {
    "real-stability": stability_block,
    "real-draws": draws_block,
    "real-order": order_block,
    "real-bursts": bursts_block,
    "real-labellers": labellers_block,
    "real-sources": sources_block,
}
"""Name of a generated block to what writes it."""
