"""Work in git that no backup takes along: it is neither the branch nor the files at hand."""

from pathlib import Path

from lifeboat import processes
from lifeboat.items import Item


def items(root: Path) -> list[Item]:
    """Stashes, other branches and DVC's experiments that this clone has and no remote is known to.

    Remotes are not asked; what this clone has seen of them counts.
    """
    found = []
    if stashes := processes.git_line(root, "stash", "list").splitlines():
        cure = "Look at them with `git stash list`; `git stash branch NAME` makes a branch of one."
        found.append(_only_here(len(stashes), "stash", "stashes", cure))
    if branches := _branches(root):
        cure = f"If you need them: `git push origin {' '.join(branches)}`."
        found.append(_only_here(len(branches), "other branch", "other branches", cure))
    if experiments := _refs(root, "refs/exps/*/*/*"):
        cure = "If you need them: `dvc exp push origin`."
        found.append(_only_here(len(experiments), "DVC experiment", "DVC experiments", cure))
    return found


def _branches(root: Path) -> list[str]:
    """Local branches with commits that no remote is known to have, but for the one at hand."""
    here = processes.git_line(root, "branch", "--show-current")
    names = [name for name in _refs(root, "refs/heads") if name != here]
    return [
        name
        for name in names
        if not name.startswith("wip")
        and processes.git_line(root, "rev-list", "-1", f"refs/heads/{name}", "--not", "--remotes")
    ]


def _refs(root: Path, pattern: str) -> list[str]:
    listed = processes.git_line(root, "for-each-ref", "--format=%(refname:lstrip=2)", pattern)
    return listed.splitlines()


def _only_here(n: int, one: str, many: str, cure: str) -> Item:
    what = one if n == 1 else many
    return Item(f"Only here, as far as this clone knows: {n} {what}.", "warning", cure)
