"""The newest `wip/` commit of the branch, taken into a working tree that has no changes of its own.

It becomes changes of the working tree, as it was on the machine that made it. Index, HEAD and
ignored files stay as they are; nothing that differs from HEAD is overwritten. What an interrupted
taking left is no change of the user's, and the next one goes on from it.
"""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from lifeboat import processes
from lifeboat.deadlines import Deadline
from lifeboat.git import commit, index, wip
from lifeboat.items import Item, Verdict, counted, some
from lifeboat.secrets import refusing
from lifeboat.stage.errors import UserError

_ALL = "--ignore-submodules=none"
_MACHINE = re.compile(r"\.[0-9a-f]{16}-[0-9a-f]{8}$")
_WIP = re.compile(r"^wip[/-]")


@dataclass(frozen=True)
class _Offer:
    """A wip branch of the remote, by its remote-tracking ref.

    Attributes:
        ref: that.
        seconds: the time of its commit.
        paths: files in which it differs from HEAD, but for those that no commit of ours has.
    """

    ref: str
    seconds: int
    paths: list[str]

    def __str__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.seconds))
        return f"{self.ref.split('/', 3)[3]} ({when})"

    def said(self, fact: str, verdict: Verdict = "warning") -> Item:
        """A fact that one may want to look into."""
        return Item(f"{fact}.", verdict, f"Look at it with `git diff HEAD {self.ref}`.")


def update(root: Path) -> list[Item]:
    """Asks the git remote for what is new and moves a branch without changes up to it.

    Raises:
        UserError: where `root` is not a git repository.
    """
    here, above = wip.head(root), commit.upstream_name(root)
    if not above:
        return [Item("git has no remote, so there is nothing to fetch.", "warning")]
    # Also where the clone has one branch only, wip branches come along.
    wips = [[name, f"+refs/heads/wip*:refs/remotes/{name}/wip*"] for name in _remotes(root)]
    for words in ([above], *wips):
        done = commit.ask(root, Deadline(), "fetch", "--quiet", *words)
        if done.returncode != 0:
            fact = f"`git fetch {words[0]}` failed: {processes.last_lines(done)}."
            return [Item(fact, "warning", "What follows is by what this clone had before.")]
    return _forward(root, f"refs/remotes/{above}/{here.branch}") if here.branch else []


def take(root: Path) -> list[Item]:
    """Makes the working tree what the newest wip commit of the branch holds, and says so.

    Raises:
        UserError: where `root` is not a git repository, or git cannot read or write.
    """
    root = processes.require_repository(root)  # a commit is of the whole repository
    here = wip.head(root)
    if not here.commit:
        return [Item("There is no commit here yet, so no work in progress was taken.", "warning")]
    refs = wips(root, here)
    if not refs:
        fact = f"There is no unfinished work ({here.wip}) of this branch on git's remote."
        return [Item(fact), *_of_other_branches(root, here)]
    offer = _offer(root, next((r for r in refs if wip.has(root, r, here.commit)), refs[0]))
    others = [_offer(root, ref) for ref in refs if not wip.has(root, offer.ref, ref)]
    fact = "There is other unfinished work of this branch, which was not taken"
    return [_take(root, here, offer), *(other.said(f"{fact}: {other}") for other in others)]


def _take(root: Path, here: wip.Head, offer: _Offer) -> Item:
    if not offer.paths or wip.has(root, here.commit, offer.ref):
        return Item(f"HEAD has all of {offer}.")
    if not wip.has(root, offer.ref, here.commit):
        fact = f"{offer} was not taken: it starts from an earlier commit than HEAD"
        is_older = offer.seconds <= _seconds(root, "HEAD")
        return Item(f"{fact}, and is older.") if is_older else offer.said(fact)
    if mine := _own_changes(root, offer):
        cure = "Yours stay as they are. To have both: commit yours on the branch, then"
        fact = f"{offer} was not taken: there are changes here ({some(mine)})."
        return Item(fact, "warning", f"{cure} `git merge {offer.ref}`.")
    _write(root, offer)
    return _proven(root, offer)


def wips(root: Path, here: wip.Head) -> list[str]:
    """The wip branches of a branch, the newest first: common ones, and machines' own."""
    common = [f"refs/remotes/{name}/{wip_}" for name in _remotes(root) for wip_ in here.wips]
    asked = ["--sort=-committerdate", "--format=%(refname)", *common, *(f"{c}.*" for c in common)]
    listed = processes.git_line(root, "for-each-ref", *asked).splitlines()
    return [ref for ref in listed if _MACHINE.sub("", ref) in common]


def _of_other_branches(root: Path, here: wip.Head) -> list[Item]:
    """The branches that have unfinished work or runs which HEAD has not, the newest first."""
    switches = dict[str, str]()
    for name in _remotes(root):
        start, asked = f"refs/remotes/{name}/", ("--sort=-committerdate", "--format=%(refname)")
        listed = processes.git_line(root, "for-each-ref", *asked, start).splitlines()
        branches = {ref.removeprefix(start): ref for ref in listed if not ref.endswith("/HEAD")}
        for branch, ref in branches.items():
            of = _MACHINE.sub("", _WIP.sub("", branch))
            is_new = of != branch and not wip.has(root, "HEAD", ref)
            if of != here.branch and (is_new or _runs(root, ref) - _runs(root, "HEAD")):
                made = of if of in branches else f"--create {of} {name}/{branch}"
                switches.setdefault(of, f"`git switch {made}`")
    if not switches:
        return []
    fact = (
        f"Other branches have unfinished work, or runs that this one has not: {some([*switches])}."
    )
    cure = (
        f"Was the study on one of them? {next(iter(switches.values()))}, then `lifeboat restore`."
    )
    return [Item(fact, "warning", cure)]


def _runs(root: Path, ref: str) -> set[str]:
    """The snapshots that a commit holds."""
    listed = processes.git_line(root, "ls-tree", "--name-only", f"{ref}:./runs")
    return {name for name in listed.splitlines() if name[:1].isdigit()}


def _remotes(root: Path) -> list[str]:
    """The remotes that may have unfinished work: which is pushed to, and which is pulled from."""
    names = (commit.remote_name(root), commit.upstream_name(root))
    return [name for name in dict.fromkeys(names) if name]


def _forward(root: Path, upstream: str) -> list[Item]:
    """Moves the branch up to what the remote has, where that changes nothing of the user's."""
    behind = processes.git_line(root, "rev-list", "--count", f"HEAD..{upstream}")
    if behind in ("", "0"):
        return []
    n_commits = counted(int(behind), "commit")
    cure = "Run `git pull`, then `lifeboat restore` again."
    if commit.changed(root):
        why = ", and there are changes here"
    else:
        done = processes.git(root, "merge", "--ff-only", "--quiet", upstream)
        if done.returncode == 0:
            return [Item(f"Moved up by {n_commits}, to what the remote has.")]
        why = f": {processes.last_lines(done)}"
    return [Item(f"The remote is ahead by {n_commits}{why}.", "warning", cure)]


def _offer(root: Path, ref: str) -> _Offer:
    paths = [path for path in _differing(root, "HEAD", ref) if not refusing.by_name(path)]
    return _Offer(ref, _seconds(root, ref), paths)


def _seconds(root: Path, name: str) -> int:
    return int(processes.git_line(root, "log", "-1", "--format=%ct", name))


def _own_changes(root: Path, offer: _Offer) -> list[str]:
    """Paths that are neither as in HEAD nor as in the wip commit, staged ones among them."""
    staged = processes.git(root, "diff", "--cached", "--name-only", "-z", _ALL).stdout
    if found := _split(staged):
        return found
    changed = commit.changed(root)
    tree = index.tree(root, sorted({*changed, *offer.paths}))
    both = set(_differing(root, "HEAD", tree.id)) & set(_differing(root, offer.ref, tree.id))
    return sorted(both | set(tree.refused))  # such as a folder in the place of a file


def _write(root: Path, offer: _Offer) -> None:
    command = ["restore", f"--source={offer.ref}", "--worktree"]
    listed = ["--pathspec-from-file=-", "--pathspec-file-nul"]
    done = processes.git(
        root, "--literal-pathspecs", *command, *listed, given="\0".join(offer.paths)
    )
    if done.returncode != 0:
        raise UserError(
            f"git could not write the unfinished work: {processes.last_lines(done)}.",
            "Run `lifeboat restore` again; it goes on from there.",
        )


def _proven(root: Path, offer: _Offer) -> Item:
    left = set(_differing(root, offer.ref, index.tree(root, offer.paths).id)) & set(offer.paths)
    if left:
        fact = f"{len(left)} files are not as in {offer}: {some(sorted(left))}"
        return offer.said(fact, "wrong")
    fact = f"{len(offer.paths)} files are as the newest unfinished work has them: {offer}"
    return Item(f"{fact}. They are changes of the working tree now.")


def _differing(root: Path, one: str, other: str) -> list[str]:
    done = processes.git(root, "diff-tree", "-r", "-z", "--name-only", "--no-renames", one, other)
    if done.returncode != 0:
        raise UserError(f"git cannot compare {one} and {other}: {processes.last_lines(done)}.")
    return _split(done.stdout)


def _split(listed: str) -> list[str]:
    return [path for path in listed.split("\0") if path]
