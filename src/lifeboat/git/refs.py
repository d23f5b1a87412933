"""Branches pushed to the git remote, and the proof that they arrived."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from lifeboat import processes, project, reading
from lifeboat.deadlines import Deadline
from lifeboat.git import commit, wip
from lifeboat.items import Item, counted, proven


@dataclass(frozen=True)
class Pushed(wip.Saved):
    """What the git remote has after a push.

    Attributes:
        url: the remote, empty where there is none.
    """

    url: str = ""

    @property
    def proven(self) -> bool:
        """Whether the remote showed the commit, and is not on this machine's disk."""
        return bool(self.url) and proven(self.items)


def push(root: Path, saved: wip.Saved, deadline: Deadline) -> Pushed:
    """Pushes the branch at hand and the commit that holds the working tree.

    A branch that the remote does not take, because it has moved on or is protected, loses nothing:
    its commits go to the wip branch. A wip branch that another machine has pushed to is left to
    that one; ours then has this machine's name at its end. And where there can be none inside of
    `wip/`, because the remote has a branch `wip`, it is beside it.
    """
    here = wip.head(root)
    name = commit.remote_name(root)
    if not name or not saved.commit:
        return _pushed(saved, [] if name else [commit.NO_REMOTE], "")
    url, items = commit.push_url(root, name), list[Item]()
    options: tuple[str, ...] = ()
    places = {here.branch: here.commit} if here.branch and here.commit else {}
    places[saved.branch] = saved.commit
    taken: dict[str, str] = {}
    while places:
        refused, failure = _send(root, name, places, deadline, options)
        if failure and not options and _has_hook(root):
            saved = saved if saved.branch != here.branch else _elsewhere(root, here, saved) or saved
            options, places = ("--no-verify",), {saved.branch: saved.commit}
            items.append(_without_hook(saved.branch, failure))
            continue
        if failure:
            return _pushed(saved, [*items, _failed(name, failure)], url)
        taken |= {branch: id_ for branch, id_ in places.items() if branch not in refused}
        items += [_refused(branch, url, reason, here) for branch, reason in refused.items()]
        places = {}
        if saved.branch in refused and (elsewhere := _elsewhere(root, here, saved)):
            saved = elsewhere
            places = {saved.branch: saved.commit}
    items += _landed(root, url, taken | {saved.branch: saved.commit}, deadline)
    return _pushed(saved, items, url)


def _pushed(saved: wip.Saved, items: list[Item], url: str) -> Pushed:
    return Pushed(saved.commit, saved.branch, items, saved.left_out, saved.began, url)


def _elsewhere(root: Path, here: wip.Head, saved: wip.Saved) -> wip.Saved | None:
    """The next branch for a commit that was refused: a wip branch, this machine's own, another."""
    if saved.branch == here.branch:
        tree = processes.git_id(root, f"{saved.commit}^{{tree}}")
        made, branch = wip.chain(root, here, tree, here.wips)
        return replace(saved, commit=made, branch=branch)
    own = project.machine_name(root)
    names = [each for name in here.wips for each in (name, f"{name}.{own}")]
    later = names[names.index(saved.branch) + 1 :]
    return replace(saved, branch=later[0]) if later else None


def _has_hook(root: Path) -> bool:
    """Whether there is a hook that may have kept a push back; git-lfs sends its files by one."""
    hook = root / processes.git_line(root, "rev-parse", "--git-path", "hooks/pre-push")
    return os.access(hook, os.X_OK) and b"lfs" not in reading.read(hook)


def _without_hook(branch: str, failure: str) -> Item:
    fact = f"The push failed, and there is a pre-push hook ({failure}): the work goes to {branch}"
    return Item(f"{fact} without asking it.", "warning", "Mend what it says, then push.")


def _send(
    root: Path,
    name: str,
    commit_by_branch: dict[str, str],
    deadline: Deadline,
    options: tuple[str, ...],
) -> tuple[dict[str, str], str]:
    """Pushes branches; which of them were refused and why, or why the push failed as a whole."""
    specs = [f"{id_}:refs/heads/{branch}" for branch, id_ in commit_by_branch.items()]
    done = commit.ask(root, deadline, "push", "--porcelain", *options, name, *specs)
    refused = {}
    for line in done.stdout.splitlines():
        if line.startswith("!\t"):
            _flag, spec, reason = (*line.split("\t"), "")[:3]
            refused[spec.partition(":refs/heads/")[2]] = reason
    failed = done.returncode != 0 and not refused
    return refused, processes.last_lines(done) if failed else ""


def _landed(
    root: Path, url: str, commit_by_branch: dict[str, str], deadline: Deadline
) -> list[Item]:
    """What the place that was pushed to shows, which need not be the one that is fetched from."""
    names = [f"refs/heads/{branch}" for branch in commit_by_branch]
    done = commit.ask(root, deadline, "ls-remote", url, *names)
    if done.returncode != 0:
        return [_failed(url, processes.last_lines(done))]
    shown = {ref: id_ for id_, _, ref in (line.partition("\t") for line in done.stdout.split("\n"))}
    return [
        commit.landed(root, url, branch, id_, shown.get(f"refs/heads/{branch}", ""))
        for branch, id_ in commit_by_branch.items()
    ]


def _refused(branch: str, url: str, reason: str, here: wip.Head) -> Item:
    fact = f"{url} did not take the branch {branch}: {reason}; what is on it goes to another one."
    if cure := commit.cure_of(reason):
        return Item(fact, "warning", cure)
    if branch == here.branch:
        return Item(fact, "warning", "Run `git pull --rebase`, then push, when there is time.")
    first = branch.partition("/")[0]
    cure = f"Where a branch `{first}` there is in the way: rename it. Else nothing needs doing."
    return Item(fact, "warning", cure)


def _failed(name: str, said: str) -> Item:
    fact = f"`git push` to {name} failed: {said}."
    return Item(fact, "wrong", "The code is not saved there. Mend it and run it again.")


def only_here(root: Path) -> list[Item]:
    """Stashes, other branches and DVC's experiments that this clone has and no remote is known to.

    Remotes are not asked; what this clone has seen of them counts.
    """
    found, name = list[Item](), commit.remote_name(root) or "origin"
    if stashes := processes.git_line(root, "stash", "list").splitlines():
        cure = "Look at them with `git stash list`; `git stash branch NAME` makes a branch of one."
        found.append(_only_here(len(stashes), "stash", "stashes", cure))
    if branches := _branches(root):
        cure = f"If you need them: `git push {name} {' '.join(branches)}`."
        found.append(_only_here(len(branches), "other branch", "other branches", cure))
    if experiments := _refs(root, "refs/exps/*/*/*"):
        cure = f"If you need them: `dvc exp push {name}`."
        found.append(_only_here(len(experiments), "DVC experiment", "DVC experiments", cure))
    return found


def _branches(root: Path) -> list[str]:
    """Local branches with commits that no remote is known to have, but for the one at hand."""
    names = _refs(root, "refs/heads")
    own = {wip_ for name in names for wip_ in wip.Head("", name).wips}
    return [
        name
        for name in names
        if name != commit.branch(root)
        and name not in own
        and processes.git_line(root, "rev-list", "-1", f"refs/heads/{name}", "--not", "--remotes")
    ]


def _refs(root: Path, pattern: str) -> list[str]:
    listed = processes.git_line(root, "for-each-ref", "--format=%(refname:lstrip=2)", pattern)
    return listed.splitlines()


def _only_here(n: int, one: str, many: str, cure: str) -> Item:
    fact = f"Only here, as far as this clone knows: {counted(n, one, many)}."
    return Item(fact, "warning", cure)
