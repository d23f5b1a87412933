"""`lifeboat log TITLE`: a new entry in the experiment log, with what a machine knows of it."""

import re
from datetime import date
from pathlib import Path

from lifeboat import processes, project
from lifeboat.items import Item
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

LOG = "reports/experiment_log.md"
BLANK = "..."
"""What the template has where a person has to write."""

_ENTRIES = re.compile(rb"(?m)^#{2,3} Log Entries[ \t]*\r?\n")


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
    heading = _ENTRIES.search(text)
    if heading is None:
        raise UserError(
            f"{LOG} has no heading `## Log Entries`, above which nothing is touched.",
            f"`git checkout {LOG}` brings the template back.",
        )
    first = f"## {(today or date.today()).isoformat()}: {title}"
    if any(line.rstrip() == first.encode() for line in text.splitlines()):
        raise UserError(
            f"{LOG} has an entry `{first}` already.", "Edit that one, or choose another title."
        )
    newline = "\r\n" if heading[0].endswith(b"\r\n") else "\n"
    entry = newline.join(["", *_entry(root, first)]) + newline
    at = heading.end()
    artifacts.write_bytes(path, text[:at] + entry.encode() + text[at:])
    return _said(root, first)


def _entry(root: Path, first: str) -> list[str]:
    told = project.contract(root)
    return [
        first,
        "",
        f"**Goal:** {BLANK}",
        "",
        "**Setup:**",
        *_lines(root, told.log_setup),
        "",
        "**Results:**",
        *_lines(root, told.log_results),
        "",
        "**Next steps:**",
        f"- {BLANK}",
        "",
        f"**Commit:** {_commit(root)}",
    ]


def _lines(root: Path, name: str) -> list[str]:
    """What a function of the project tells; what a person has to write where there is nothing."""
    return [f"- {line}" for line in (_told(root, name) or [BLANK])]


def _told(root: Path, name: str) -> list[str]:
    return project.called(name)(root) if name else []


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
    if not _told(root, project.contract(root).log_results):
        cure = "Run `lifeboat reproduce`, then write the numbers in, or log it anew."
        fact = "There are no results yet, so the entry has no numbers."
        items.append(Item(fact, "warning", cure))
    if processes.git_line(root, "status", "--porcelain", "--", ".", f":(exclude){LOG}"):
        cure = "Run `lifeboat push`, then put the new commit into the entry."
        fact = "The commit that it names does not have everything that is here."
        items.append(Item(fact, "warning", cure))
    return items
