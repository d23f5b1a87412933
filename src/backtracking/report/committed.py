"""The results that git holds, which are the only ones that prose may quote."""

import csv
import io
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from backtracking.records import reader
from backtracking.records.rows.claims import Claim, Count
from lifeboat.stage.errors import UserError

Rows = Sequence[Mapping[str, str]]

TABLES = (
    "grade",
    "cosines",
    "steer",
    "elsewhere",
    "reports",
    "free",
    "magnitudes",
    "ed50",
    "pairs",
)
"""Tables that prose quotes."""

SEEDS = "benchmarks/organism-seeds.cpu.csv"
"""What further trained pairs gave."""

STAGED = ""
"""The revision that stands for what is staged for the next commit."""


@dataclass(frozen=True)
class Results:
    """What one revision says was found.

    Attributes:
        summary: summary.json.
        claims: claims.json, the primary endpoint among them.
        table_by_name: rows of results/tables/<name>.csv, every cell a text.
        pairs: claims over trained pairs: the study's own, or, where it has one pair, those that
            the overlay `organism-seeds` gave (`SEEDS`), if they are committed.
    """

    summary: Mapping[str, Any]
    claims: Sequence[Claim]
    table_by_name: Mapping[str, Rows]
    pairs: Sequence[Count]


def read_results(root: Path, revision: str = "HEAD") -> Results | None:
    """The results of a revision; None where it has none yet.

    Args:
        root: the project.
        revision: as git names it, or `STAGED`.

    Raises:
        UserError: where the revision has a summary and lacks claims or a table, or has others.
    """
    summary = show(root, revision, "results/summary.json")
    if summary is None:
        return None
    table_by_name = {
        name: read_table(_require(root, revision, f"results/tables/{name}.csv")) for name in TABLES
    }
    return Results(
        summary=json.loads(summary),
        claims=_claims(_require(root, revision, "results/claims.json")),
        table_by_name=table_by_name,
        pairs=_counts(table_by_name["pairs"], read_table(show(root, revision, SEEDS) or "")),
    )


def _claims(text: str) -> Sequence[Claim]:
    return reader.decode_list(Claim, json.loads(text), "results/claims.json")


def _counts(own: Rows, seeds: Rows) -> list[Count]:
    """Rows of the study with more pairs; a table of another format than today's is none."""
    names = [field.name for field in fields(Count)]
    readable = [rows for rows in (own, seeds) if rows and names[4] in rows[0]]
    most = max(readable, key=lambda rows: int(rows[0]["n_pairs"]), default=())
    return [Count(*(_value(row[name]) for name in names)) for row in most]


def _value(cell: str) -> Any:
    """A cell of the table of counts: a name, a whole number, a number, or nothing."""
    if not cell:
        return None
    if not cell.lstrip("-")[:1].isdigit():
        return cell
    return int(cell) if cell.isdigit() else float(cell)


def read_table(text: str) -> Rows:
    """Rows of a table as its CSV file has them."""
    return list(csv.DictReader(io.StringIO(text)))


def show(root: Path, revision: str, path: str) -> str | None:
    """A file's text in a revision; None where the revision does not have it."""
    command = ["git", "show", f"{revision}:{path}"]
    done = subprocess.run(command, cwd=root, check=False, capture_output=True)
    return done.stdout.decode() if done.returncode == 0 else None


def _require(root: Path, revision: str, path: str) -> str:
    text = show(root, revision, path)
    if text is None:
        where = f"commit {revision}" if revision else "what is staged"
        raise UserError(
            f"{path} is not in {where}, although results/summary.json is.",
            "Commit what `summary` writes together: results/*.json, results/tables and figures.",
        )
    return text
