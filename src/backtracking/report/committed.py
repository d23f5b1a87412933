"""The results that git holds, which are the only ones that prose may quote."""

import csv
import io
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtracking.records import reader
from backtracking.records.rows.claims import Claim
from backtracking.report.trained import KEPT
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
    "signs",
)
"""Tables that prose quotes."""

STAGED = ""
"""The revision that stands for what is staged for the next commit."""


@dataclass(frozen=True)
class Results:
    """What one revision says was found.

    Attributes:
        summary: summary.json, and `provenance_<key>` of provenance.json.
        claims: claims.json, the primary endpoint among them.
        table_by_name: rows of results/tables/<name>.csv, every cell a text.
        trained: what several trained pairs gave (`report.trained`), a row a pair and claim; empty
            where that was not measured.
    """

    summary: Mapping[str, Any]
    claims: Sequence[Claim]
    table_by_name: Mapping[str, Rows]
    trained: Rows


def read_results(root: Path, revision: str = "HEAD", snapshot: str = "") -> Results | None:
    """The results of a revision; None where it has none yet.

    Args:
        root: the project.
        revision: as git names it, or `STAGED`.
        snapshot: folder of one, such as `runs/20261128_191500`, in which the results of another
            study are; those of the study itself by default.

    Raises:
        UserError: where the revision has a summary and lacks claims or a table, or has others.
    """
    folder = snapshot or "results"
    tables = snapshot or "results/tables"
    summary = show(root, revision, f"{folder}/summary.json")
    if summary is None:
        return None
    table_by_name = {
        name: read_table(_require(root, revision, f"{tables}/{name}.csv")) for name in TABLES
    }
    return Results(
        summary=_summary(summary, show(root, revision, f"{folder}/provenance.json")),
        claims=_claims(_require(root, revision, f"{folder}/claims.json")),
        table_by_name=table_by_name,
        trained=[] if snapshot else read_table(show(root, revision, KEPT) or ""),
    )


def open_results(root: Path) -> Results:
    """The results that lie in a workspace, committed or not.

    Raises:
        UserError: where `summary` has not written them.
    """
    folder = root / "results"

    def text(path: Path) -> str:
        if not path.is_file():
            raise UserError(f"{path} does not exist.", "Run the stage `summary` first.")
        return path.read_text()

    kept, provenance = root / KEPT, folder / "provenance.json"
    return Results(
        summary=_summary(
            text(folder / "summary.json"),
            provenance.read_text() if provenance.is_file() else None,
        ),
        claims=_claims(text(folder / "claims.json")),
        table_by_name={
            name: read_table(text(folder / "tables" / f"{name}.csv")) for name in TABLES
        },
        trained=read_table(kept.read_text()) if kept.is_file() else [],
    )


def open_figures(root: Path) -> dict[str, Path]:
    """The figures that lie in a workspace, by name."""
    return {path.stem: path for path in sorted((root / "figures").glob("*.svg"))}


def _summary(text: str, provenance: str | None) -> Mapping[str, Any]:
    """What was found, and where it comes from; in older revisions the first says both."""
    told = {f"provenance_{key}": value for key, value in json.loads(provenance or "{}").items()}
    return json.loads(text) | told


def _claims(text: str) -> Sequence[Claim]:
    return reader.decode_list(Claim, json.loads(text), "results/claims.json")


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
