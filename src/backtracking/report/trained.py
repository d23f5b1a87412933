"""`python -m backtracking.report.trained --device NAME`: keeps what several trained pairs gave.

The default study has one pair. What the overlay `organism-seeds` gave is kept in git as one row a
pair and claim, made of results/effects/pairs alone; docs/findings.md shows it.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backtracking import PROJECT_ROOT
from backtracking.claims.pairs import count_pairs
from backtracking.records.rows.choice import Repeat, Selection
from backtracking.records.rows.claims import Count, Evidence, Finding, Repeated
from backtracking.records.rows.table import read_rows
from backtracking.report.because import because
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

KEPT = "benchmarks/organism-seeds.cpu.csv"
"""The table that git holds."""

LEVEL = 0.95
"""Nominal coverage of the bounds of a share of pairs, and of the interval of a mean over pairs."""

MANY = 2
"""Pairs from which on there is something to count."""


def table(
    claims: Sequence[Repeated], places: Sequence[Repeat], device: str
) -> list[dict[str, Any]]:
    """One row a pair and claim: the place, the effect beside its ceiling and nulls, the verdict.

    Args:
        claims: of all pairs.
        places: where each pair was steered.
        device: what the pairs were trained and measured on, in words.

    Raises:
        UserError: where there are fewer than two pairs.
    """
    if len(places) < MANY:
        raise UserError(
            f"results/effects/pairs has {len(places)} trained pair.",
            "`backtracking profile use organism-seeds`, then `make reproduce`, measures ten.",
        )
    place_by_number = {one.number: one.selection for one in places}
    return [_row(one, place_by_number[one.number]) | {"device": device} for one in claims]


def counts(rows: Sequence[Mapping[str, str]]) -> list[Count]:
    """In how many of the pairs each claim holds, from the rows of the table."""
    return count_pairs([_evidence(row) for row in rows], LEVEL)


def _row(repeated: Repeated, place: Selection) -> dict[str, Any]:
    found = repeated.evidence.finding
    return {
        "number": repeated.number,
        "claim": repeated.evidence.claim,
        "direction": found.direction,
        "target": found.target,
        "layer": place.layer,
        "window": place.window,
        "effect": found.estimate,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "of_ceiling": found.of_ceiling.value if found.of_ceiling else None,
        "legal": found.legal,
        "p": found.p,
        "verdict": found.verdict,
        "because": because(found),
    }


def _evidence(row: Mapping[str, str]) -> Evidence:
    """What counting needs of a row."""
    effect = float(row["effect"]) if row["effect"] else None
    verdict: Any = row["verdict"]
    return Evidence(row["claim"], "", "", "emergent", Finding(verdict, effect))


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=PROJECT_ROOT)
    parser.add_argument("--device", required=True, help="such as '2 vCPU Intel Xeon'")
    args = parser.parse_args(argv)
    results = args.root / "results"
    try:
        rows = table(read_rows(Repeated, results), read_rows(Repeat, results), args.device)
    except UserError as error:
        parser.error(str(error))
    artifacts.write_csv(args.root / KEPT, rows, list(rows[0]))


if __name__ == "__main__":
    main()
