"""The results that git holds, which are the only ones that prose may quote."""

import csv
import io
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
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
    "partings",
)
"""Tables that prose quotes."""

LATER = ("necessity", "power")
"""Those that snapshots of before lack; without rows there."""

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
    if show(root, revision, f"{folder}/summary.json") is None:
        return None
    where = f"commit {revision}" if revision else "what is staged"
    cure = "Commit what `summary` writes together: results/*.json and results/tables."
    found = _Files(lambda path: show(root, revision, path), f"not in {where}", cure)
    kept = "" if snapshot else show(root, revision, KEPT)
    return _results(found, folder, snapshot or "results/tables", kept)


def open_results(root: Path) -> Results:
    """The results that lie in a workspace, committed or not.

    Raises:
        UserError: where `summary` has not written them.
    """

    def read(path: str) -> str | None:
        return (root / path).read_text() if (root / path).is_file() else None

    found = _Files(read, "not there", "Run the stage `summary` first.")
    return _results(found, "results", "results/tables", read(KEPT))


def open_figures(root: Path) -> dict[str, Path]:
    """The figures that lie in a workspace, by name."""
    return {path.stem: path for path in sorted((root / "figures").glob("*.svg"))}


@dataclass(frozen=True)
class _Files:
    """Files that are read one way or another.

    Attributes:
        read: the text of a path; None where there is none.
        lacking, cure: of an error about one that has to be there.
    """

    read: Callable[[str], str | None]
    lacking: str
    cure: str

    def __getitem__(self, path: str) -> str:
        text = self.read(path)
        if text is None:
            raise UserError(f"{path} is {self.lacking}.", self.cure)
        return text


def _results(files: _Files, folder: str, tables: str, kept: str | None) -> Results:
    claims = f"{folder}/claims.json"
    # In older revisions summary.json says by itself where all comes from.
    provenance = json.loads(files.read(f"{folder}/provenance.json") or "{}")
    told = {f"provenance_{key}": value for key, value in provenance.items()}
    return Results(
        summary=json.loads(files[f"{folder}/summary.json"]) | told,
        claims=reader.decode_list(Claim, json.loads(files[claims]), claims),
        table_by_name={name: read_table(files[f"{tables}/{name}.csv"]) for name in TABLES}
        | {name: read_table(files.read(f"{tables}/{name}.csv") or "") for name in LATER},
        trained=read_table(kept or ""),
    )


def read_table(text: str) -> Rows:
    """Rows of a table as its CSV file has them."""
    return list(csv.DictReader(io.StringIO(text)))


def show(root: Path, revision: str, path: str) -> str | None:
    """A file's text in a revision; None where the revision does not have it."""
    command = ["git", "show", f"{revision}:{path}"]
    done = subprocess.run(command, cwd=root, check=False, capture_output=True)
    return done.stdout.decode() if done.returncode == 0 else None
