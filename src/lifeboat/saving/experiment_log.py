"""`backtracking log TITLE`: a new entry in the experiment log, with what a machine knows of it."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

from backtracking.models.sizes import Model, models
from backtracking.runtime import params
from backtracking.runtime.workspace import Workspace
from lifeboat import processes
from lifeboat.items import Item
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

LOG = "reports/experiment_log.md"
BLANK = "..."
"""What the template has where a person has to write."""

_ENTRIES = re.compile(rb"(?m)^#{2,3} Log Entries[ \t]*\r?\n")
_KEY_HYPERPARAMETERS = {
    "traces": ("n_samples", "temperature", "max_new_tokens"),
    "steer": ("doses", "n_random"),
}


def add(root: Path, title: str, today: date | None = None) -> list[Item]:
    """Puts an entry above all others; every other byte of the file stays as it is.

    Args:
        root: the project's folder.
        title: one line.
        today: date of the entry; this day when not given.

    Raises:
        UserError: for a title that is no single line or that has an entry of the same day; where
            the log or its heading is missing.
    """
    title = title.strip()
    if not title or not title.isprintable():
        raise UserError(f"Expected a title in one line, found {title!r}.")
    path = root / LOG
    text = path.read_bytes() if path.is_file() else b""
    heading = _heading(text)
    first = f"## {(today or date.today()).isoformat()}: {title}"
    if any(line.rstrip() == first.encode() for line in text.splitlines()):
        raise UserError(
            f"{LOG} has an entry `{first}` already.", "Edit that one, or choose another title."
        )
    newline = "\r\n" if text[heading.start() : heading.end()].endswith(b"\r\n") else "\n"
    entry = newline.join(["", *_entry(root, first)]) + newline
    at = heading.end()
    artifacts.write_bytes(path, text[:at] + entry.encode() + text[at:])
    return _said(root, first)


def _heading(text: bytes) -> re.Match[bytes]:
    found = _ENTRIES.search(text)
    if found is None:
        raise UserError(
            f"{LOG} has no heading `## Log Entries`, above which nothing is touched.",
            f"`git checkout {LOG}` brings the template back.",
        )
    return found


def _entry(root: Path, first: str) -> list[str]:
    return [
        first,
        "",
        f"**Goal:** {BLANK}",
        "",
        "**Setup:**",
        f"- Model: {_models(root)}",
        f"- Dataset: {_dataset(root)}",
        f"- Key hyperparameters: {_hyperparameters(root)}",
        "",
        "**Results:**",
        *[f"- {line}" for line in _results(root) or [BLANK]],
        "",
        "**Next steps:**",
        f"- {BLANK}",
        "",
        f"**Commit:** {_commit(root)}",
    ]


def _models(root: Path) -> str:
    try:
        found = models(root)
    except UserError:
        return BLANK
    return "; ".join(f"{model.role}: {_model(model)}" for model in found) or BLANK


def _model(model: Model) -> str:
    if not model.n_layers:
        return model.source
    return f"{model.source} ({model.n_layers} layers, d_model {model.d_model})"


def _dataset(root: Path) -> str:
    section = _section(root, "problems")
    return ", ".join(f"{key} {value}" for key, value in section.items()) or BLANK


def _hyperparameters(root: Path) -> str:
    told = []
    for section, keys in _KEY_HYPERPARAMETERS.items():
        values = _section(root, section)
        told += [f"{section}.{key} {values[key]}" for key in keys if key in values]
    return ", ".join([*told, "all: `params.yaml` of the commit"])


def _results(root: Path) -> list[str]:
    """The primary claim, then the numbers of each stage in one line."""
    summary, claims = (_json(root / "results" / name) for name in ("summary.json", "claims.json"))
    primary = claims[0] if isinstance(claims, list) and claims else None
    lines = [_claim(primary)] if isinstance(primary, dict) else []
    by_stage: dict[str, list[str]] = {}
    for key, value in (summary if isinstance(summary, dict) else {}).items():
        stage, _, measure = key.partition("_")
        if stage != "provenance":
            by_stage.setdefault(stage, []).append(f"{measure or stage} {value}")
    return lines + [f"{stage}: {', '.join(values)}" for stage, values in by_stage.items()]


def _claim(claim: dict[str, Any]) -> str:
    numbers = [claim.get(key) for key in ("estimate", "low", "high")]
    parts = claim.get("parts")
    failed = sorted(k for k, v in parts.items() if v == "fails") if isinstance(parts, dict) else []
    because = f" ({', '.join(failed)})" if failed else ""
    said = f"Primary claim ({claim.get('pair')}): **{claim.get('verdict')}**{because}"
    if any(not isinstance(number, int | float) for number in numbers):
        return said
    value, low, high = (f"{number:+.3f}" for number in numbers)
    return f"{said}, {value} ({low} to {high}, n = {claim.get('n')}), p = {claim.get('p')}"


def _commit(root: Path) -> str:
    head = processes.git_line(root, "rev-parse", "--short", "HEAD")
    if not head:
        return "none yet"
    changed = processes.git_line(root, "status", "--porcelain").splitlines()
    if not changed:
        return f"`{head}`"
    return f"`{head}`, and {len(changed)} changed or untracked paths that it does not have"


def _said(root: Path, first: str) -> list[Item]:
    items = [Item(f"{LOG} has a new entry at the top: `{first}`.", "ok", "Write its goal.")]
    if not (root / "results" / "summary.json").is_file():
        cure = "Run `make reproduce`, then write the numbers in, or log it anew."
        fact = "There is no results/summary.json, so the entry has no numbers."
        items.append(Item(fact, "warning", cure))
    if processes.git_line(root, "status", "--porcelain", "--", ".", f":(exclude){LOG}"):
        cure = "Run `make push`, then put the new commit into the entry."
        fact = "The commit that it names does not have everything that is here."
        items.append(Item(fact, "warning", cure))
    return items


def _section(root: Path, name: str) -> dict[str, Any]:
    try:
        section = params.read(Workspace(root).params).get(name)
    except UserError:
        return {}
    return section if isinstance(section, dict) else {}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
