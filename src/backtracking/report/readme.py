"""`python -m backtracking.report.readme`: puts committed numbers into the README and the docs.

A generated block stands between `<!-- generated: NAME -->` and `<!-- end -->`. What it says comes
from one revision of the results and of dvc.yaml, never from the workspace, where an experiment may
have left other numbers. `STAMP-NAME` is that block for the study in the snapshot `runs/STAMP`.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path

from backtracking import PROJECT_ROOT
from backtracking.report import findings, real_traces, scale, verdicts
from backtracking.report.committed import STAGED, read_results, show
from backtracking.report.findings import NOTHING
from backtracking.report.partings import partings_table
from backtracking.report.pipeline import draw_pipeline
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

FILES = ("README.md", "docs/method.md", "docs/findings.md", "docs/house.md", "docs/scale.md")
"""Files with generated blocks; those in `reports/` have some as well."""

SNAPSHOTS = "runs"

FIGURE = "figures/dose.svg"

UNTITLED = "P(backtrack) against the dose"

WRITERS = findings.BLOCKS | dict(verdicts.BLOCKS) | {"partings": partings_table}
"""What writes each block about the results of a study."""

_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_STAMP = re.compile(r"<!-- generated: (\d{8}_\d{6})-")
_MARKERS = re.compile(r"<!-- (?:generated:.*?|end) -->")


def files(root: Path) -> list[str]:
    """Files with generated blocks."""
    pages = sorted((root / "reports").glob("*.md"))
    return [*FILES, *(page.relative_to(root).as_posix() for page in pages)]


def _stamps(root: Path) -> list[str]:
    """Snapshots that a page quotes; the others are not read, and may lack what a page needs."""
    pages = (root / name for name in files(root))
    return sorted({stamp for page in pages for stamp in _STAMP.findall(page.read_text())})


def generate(root: Path, revision: str = "HEAD") -> dict[str, str]:
    """Every block by name, from the results of one revision.

    Args:
        root: the project.
        revision: as git names it, or `STAGED`.
    """
    results = read_results(root, revision)
    blocks = {name: write(results) if results else NOTHING for name, write in WRITERS.items()}
    for stamp in _stamps(root):
        if other := read_results(root, revision, f"{SNAPSHOTS}/{stamp}"):
            blocks |= {f"{stamp}-{name}": write(other) for name, write in WRITERS.items()}
    drawn = show(root, revision, FIGURE) if results else None
    blocks["figure"] = f"![{_title_of(drawn)}]({FIGURE})" if drawn else ""
    pipeline = show(root, revision, "dvc.yaml")
    if pipeline is None:
        raise UserError("dvc.yaml is not committed.", "Commit it, or name another revision.")
    blocks |= real_traces.blocks(root, revision) | scale.blocks(root, revision)
    return blocks | {"pipeline": draw_pipeline(pipeline)}


def _title_of(svg: str) -> str:
    """What a figure says, for who does not see it: its title, where its code gave it one."""
    found = re.search(r"<title>(.*?)</title>", svg, re.DOTALL)
    return re.sub(r"([\[\]\\])", r"\\\1", unescape(found[1])) if found else UNTITLED


def rewrite(text: str, block_by_name: Mapping[str, str]) -> str:
    """The text with new blocks; nothing outside of them changes.

    Raises:
        UserError: for a marker without its partner, or a block that nobody generates.
    """
    n_markers = len(_MARKERS.findall(text))
    if n_markers != 2 * len(_BLOCK.findall(text)):
        raise UserError(
            "A generated block has no end, or an end no block.",
            "Write `<!-- generated: NAME -->` and `<!-- end -->` on lines of their own, in pairs.",
        )

    def fill(match: re.Match[str]) -> str:
        if match[2] not in block_by_name:
            close = difflib.get_close_matches(match[2], block_by_name, n=1)
            nearest = f"Did you mean `{close[0]}`?" if close else f"There are {[*block_by_name]}."
            raise UserError(f"No block is called `{match[2]}`.", nearest)
        return f"{match[1]}\n{block_by_name[match[2]]}\n\n{match[4]}"

    return _BLOCK.sub(fill, text)


def prose(text: str) -> str:
    """The text without its generated blocks."""
    return _BLOCK.sub("", text)


def main(argv: Sequence[str] | None = None) -> None:
    """Rewrites the generated blocks of all files.

    Raises:
        SystemExit: with code 1 and one paragraph on standard error, for bad input.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--root", default=str(PROJECT_ROOT), help="the project's folder")
    parser.add_argument("--staged", action="store_true", help="from what is staged, not from HEAD")
    options = parser.parse_args(argv)
    root = Path(options.root).resolve()
    try:
        blocks = generate(root, STAGED if options.staged else "HEAD")
        texts = {name: rewrite((root / name).read_text(), blocks) for name in files(root)}
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    for name, text in texts.items():
        if text != (root / name).read_text():
            artifacts.write_text(root / name, text)
            print(f"{name}: rewritten")


if __name__ == "__main__":
    main()
