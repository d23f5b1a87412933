"""Branches pushed to the git remote, and the proof that they arrived."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lifeboat import processes, project, reading
from lifeboat.deadlines import Deadline
from lifeboat.git import commit, index, wip
from lifeboat.git.commit import Destination
from lifeboat.items import Item, Verdict, counted, proven, some

_LIST = ("ls-tree", "-r", "-z", "--full-tree")
_PATIENCE_S = 30.0
"""So long a remote is asked for its tags, also one that nothing is pushed to."""

_WITH_IDS = "--format=%(objectname) %(refname)"
_LABELS = ("refs/tags/", "refs/notes/")
_ELSE = (
    *("refs/heads/", "refs/remotes/", "refs/stash", "refs/exps/", "refs/replace/"),
    *("refs/bisect/", "refs/prefetch/"),
)
"""Refs that are told otherwise, or have no work of their own."""


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
    its commits go to another one (see `_others`).
    """
    name = commit.remote_name(root)
    if not name or not saved.commit:
        return _pushed(saved, [] if name else [commit.NO_REMOTE], "")
    places, done = commit.destinations(root, name), list[Pushed]()
    for n, place in enumerate(places):
        share = deadline.at_most(deadline.left / (len(places) - n))
        done.append(_push(root, saved, place, share))
    first = next((each for each in done if each.proven), done[0])
    return replace(first, items=commit.best([each.items for each in done]))


def _push(root: Path, saved: wip.Saved, place: Destination, deadline: Deadline) -> Pushed:
    here, url, items, told = wip.head(root), place.url, list[Item](), list[Item]()
    options: tuple[str, ...] = ()
    places = {here.branch: here.commit} if here.branch and here.commit else {}
    places[saved.branch] = saved.commit
    taken, refused = dict[str, str](), dict[str, str]()
    others = _others(root, here, saved, url, refused, deadline)
    while places:
        now, failure = _send(root, place, places, deadline, options)
        if failure and not options and _has_hook(root):
            saved = saved if saved.branch != here.branch else next(others, (saved, []))[0]
            options, places = ("--no-verify",), {saved.branch: saved.commit}
            items.append(_without_hook(saved.branch, failure))
            continue
        if failure:
            items += [*_refused(refused, url, here), _failed(str(place), failure)]
            return _pushed(saved, items, url)
        taken |= {branch: id_ for branch, id_ in places.items() if branch not in now}
        refused |= now
        other = next(others, None) if saved.branch in now else None
        saved, told = other or (saved, told)
        places = {saved.branch: saved.commit} if other else {}
    items += _refused(refused, url, here)
    items += told if taken.get(saved.branch) == saved.commit else [_nowhere(url)]
    items += _landed(root, url, taken, deadline) if taken else []
    return _pushed(saved, items, url)


def _pushed(saved: wip.Saved, items: list[Item], url: str) -> Pushed:
    return Pushed(saved.commit, saved.branch, items, saved.left_out, saved.began, url)


def _others(
    root: Path,
    here: wip.Head,
    saved: wip.Saved,
    url: str,
    refused: Mapping[str, str],
    deadline: Deadline,
) -> Iterator[tuple[wip.Saved, list[Item]]]:
    """Where a commit goes that was refused, the next best first, and what is to be told of it.

    The wip branch; where another machine has pushed to that, with this machine's name at its end;
    where there can be none inside of `wip/`, beside it. Then, since what it holds may be refused,
    its files alone without the commits that lead to it, and these without what `refused` names.
    """
    if saved.branch == here.branch:
        made, branch = wip.chain(root, here, wip.tree_of(root, saved.commit), here.wips)
        saved = replace(saved, commit=made, branch=branch)
        yield saved, []
    own = project.machine_name(root)
    names = [each for name in here.wips for each in (name, f"{name}.{own}")]
    for later in names[names.index(saved.branch) + 1 :]:
        yield replace(saved, branch=later), []
    free = [each for each in names[1::2] if not commit.IN_THE_WAY.search(refused.get(each, ""))]
    shown, branch = _shown(root, url, deadline)[0], (free or names)[0]
    base, before = _base(root, here, shown), _known(root, [shown.get(f"refs/heads/{branch}", "")])
    start, last = replace(here, commit=base), "".join(before)
    made = wip.following(root, start, wip.tree_of(root, saved.commit), last)
    told = _alone(branch, base, here)
    yield replace(saved, commit=made, branch=branch), [told]
    if named := _named(root, saved.commit, base, said := refused.get(branch, "")):
        made = wip.following(root, start, index.tree_but(root, saved.commit, named, base), last)
        paths = {commit.below(path, commit.start_of(root)) for path in named}
        left_out = saved.left_out | paths
        lacking = replace(saved, commit=made, branch=branch, left_out=left_out)
        yield lacking, [told, _without(sorted(paths), said)]


def _known(root: Path, ids: Iterable[str]) -> list[str]:
    """Those of some commits that are here."""
    asked = "".join(f"{id_}\n" for id_ in ids if id_)
    said = processes.git(root, "cat-file", "--batch-check", given=asked).stdout.splitlines()
    return [line.split()[0] for line in said if " commit " in line]


def _base(root: Path, here: wip.Head, shown: Mapping[str, str]) -> str:
    """The newest commit in HEAD's past that a remote has; empty where it has none."""
    tips = _known(root, dict.fromkeys(shown.values()))
    both = [here.commit, *tips] if here.commit and tips else []
    return processes.git_line(root, "merge-base", *both) if both else ""


def _named(root: Path, commit_: str, base: str, said: str) -> list[str]:
    """Files, by their paths from the top, that `said` names and a commit has otherwise than `base`.

    Servers name a file by its path or by its id.
    """
    listed = (processes.git(root, *_LIST, each).stdout for each in (commit_, base) if each)
    rows = [each.split("\0") for each in listed]
    new = [row.partition("\t") for row in rows[0] if row and row not in set(*rows[1:])]
    return [
        path
        for facts, _, path in new
        if facts.split()[2] in said
        or re.search(rf"(?<![\w./-]){re.escape(path)}(?![\w/-]|\.\w)", said)
    ]


def _alone(branch: str, base: str, here: wip.Head) -> Item:
    after = f"after {base[:7]}, which the remote has" if base else "without any commit before"
    fact = f"The files alone went to {branch}, {after}: it takes none of the commits between."
    cure = "Mend what it says of them; until then they are not saved there."
    return Item(fact, "warning" if base == here.commit else "wrong", cure)


def _without(paths: list[str], said: str) -> Item:
    fact = f"NOT SAVED, because the remote does not take it ({said}): {', '.join(paths)}."
    return Item(fact, "wrong", "Mend what it says, or ignore it; all else is there.")


def _nowhere(url: str) -> Item:
    fact = f"{url} took the work under no name: THE CODE IS NOT SAVED THERE."
    cure = "Mend what it says. Where it wants other names: `git switch -c NAME`, `lifeboat push`."
    return Item(fact, "wrong", cure)


def _has_hook(root: Path) -> bool:
    """Whether there is a hook that may have kept a push back; git-lfs sends its files by one."""
    hook = root / processes.git_line(root, "rev-parse", "--git-path", "hooks/pre-push")
    return os.access(hook, os.X_OK) and b"lfs" not in reading.read(hook)


def _without_hook(branch: str, failure: str) -> Item:
    fact = f"The push failed, and there is a pre-push hook ({failure}): the work goes to {branch}"
    return Item(f"{fact} without asking it.", "warning", "Mend what it says, then push.")


def _send(
    root: Path,
    place: Destination,
    commit_by_branch: dict[str, str],
    deadline: Deadline,
    options: tuple[str, ...],
) -> tuple[dict[str, str], str]:
    """Pushes branches; which of them were refused and why, or why the push failed as a whole."""
    specs = [f"{id_}:refs/heads/{branch}" for branch, id_ in commit_by_branch.items()]
    done = commit.send(root, deadline, place, "--porcelain", *options, *specs)
    refused = {}
    for line in done.stdout.splitlines():
        if line.startswith("!\t"):
            _flag, spec, reason = (*line.split("\t"), "")[:3]
            refused[spec.partition(":refs/heads/")[2]] = commit.with_words(reason, done)
    failed = done.returncode != 0 and not refused
    return refused, commit.with_words(processes.last_lines(done), done) if failed else ""


def _shown(root: Path, url: str, deadline: Deadline, *names: str) -> tuple[dict[str, str], str]:
    """The refs that a remote shows, and why it shows none."""
    done = commit.ask(root, deadline, "ls-remote", url, *names)
    if done.returncode != 0:
        return {}, processes.last_lines(done)
    rows = (line.partition("\t") for line in done.stdout.splitlines())
    return {ref: id_ for id_, _, ref in rows}, ""


def _landed(
    root: Path, url: str, commit_by_branch: dict[str, str], deadline: Deadline
) -> list[Item]:
    """What the place that was pushed to shows, which need not be the one that is fetched from."""
    names = [f"refs/heads/{branch}" for branch in commit_by_branch]
    shown, failure = _shown(root, url, deadline, *names)
    if failure:
        return [_failed(url, failure)]
    return [
        commit.landed(root, url, branch, id_, shown.get(f"refs/heads/{branch}", ""))
        for branch, id_ in commit_by_branch.items()
    ]


def _refused(said_by_branch: Mapping[str, str], url: str, here: wip.Head) -> list[Item]:
    """The branches that a remote did not take, those of one reason together."""
    names: dict[str, list[str]] = {}
    for branch, said in said_by_branch.items():
        names.setdefault(said, []).append(branch)
    pull = "Run `git pull --rebase`, then push, when there is time."
    items = list[Item]()
    for said, branches in names.items():
        moved_on = pull if here.branch in branches else ""  # else another machine has pushed to it
        cure = "Mend what it says." if "[remote rejected]" in said else moved_on
        fact = f"{url} did not take the branch {', '.join(branches)}: {said}."
        items.append(Item(fact, "warning", commit.cure_of(said) or cure))
    return items


def _failed(name: str, said: str) -> Item:
    fact = f"`git push` to {name} failed: {said}."
    return Item(fact, "wrong", "The code is not saved there. Mend it and run it again.")


def only_here(root: Path, deadline: Deadline | None = None) -> list[Item]:
    """What of git is in this clone alone: stashes, branches, experiments, tags, notes, commits.

    Of branches counts what this clone has seen of its remotes; where there are tags and notes,
    remotes are asked for theirs, and where other refs have commits. What is held by nothing but one
    of these is NOT SAVED, except for stashes, branches, experiments and other refs, which are told.

    Args:
        root: the project.
        deadline: for asking.
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
    found += _labels(root, name, deadline or Deadline())
    return [*found, *_of_modules(root), *_of_worktrees(root)]


def _labels(root: Path, name: str, deadline: Deadline) -> list[Item]:
    """Tags, notes and refs of tools that no remote shows.

    Wrong are tags and notes that have more than a name of a commit. Of other refs those with
    commits count, and they are only told.
    """
    left = _labelled(root)
    silent = list[str]()
    remotes = [commit.remote_name(root), *processes.git_line(root, "remote").split()]
    for each in filter(None, dict.fromkeys(remotes)):
        shown, failure = _shown(root, each, deadline.at_most(_PATIENCE_S)) if left else ({}, "")
        silent += [each] if failure else []
        left = {ref: id_ for ref, id_ in left.items() if not _has(root, shown.get(ref, ""), id_)}
    lost = [r for r, id_ in left.items() if r.startswith(_LABELS) and _is_content(root, r, id_)]
    named = [ref for ref in left if ref not in lost]
    why = f"no remote shows it{f' ({some(silent)} did not answer)' if silent else ''}"
    groups: list[tuple[str, list[str], Verdict]] = [
        ("NOT SAVED", lost, "warning" if silent else "wrong"),
        ("Only here", named, "warning"),
    ]
    cure = f"`git push {name} {{}}`, or delete what you do not need."
    return [
        Item(f"{said}: {some(names)}: {why}.", verdict, cure.format(" ".join(names)))
        for said, names, verdict in groups
        if names
    ]


def _labelled(root: Path) -> dict[str, str]:
    """The ids of tags and notes, and of other refs with commits that no branch of a remote has."""
    rows = processes.git_line(root, "for-each-ref", _WITH_IDS).splitlines()
    ids = {ref: id_ for id_, _, ref in (row.partition(" ") for row in rows)}
    return {
        ref: id_
        for ref, id_ in ids.items()
        if ref.startswith(_LABELS) or (not ref.startswith(_ELSE) and _is_content(root, ref, id_))
    }


def _has(root: Path, shown: str, id_: str) -> bool:
    """Whether what a remote shows is an object, or has it in its past."""
    return shown == id_ or bool(shown and _known(root, [shown]) and wip.has(root, shown, id_))


def _is_content(root: Path, ref: str, id_: str) -> bool:
    """Whether a ref has anything that no branch of a remote has: more than a name for a commit."""
    if ref.startswith("refs/notes/") or not _known(root, [id_]):
        return True
    return bool(processes.git_line(root, "rev-list", "-1", id_, "--not", "--remotes"))


def worktrees(root: Path) -> list[Path]:
    """Other working trees of the repository that are there."""
    listed = processes.git_line(root, "worktree", "list", "--porcelain").splitlines()
    places = [Path(line[9:]) for line in listed if line.startswith("worktree ")]
    here = Path(processes.git_line(root, "rev-parse", "--show-toplevel"))
    return [each for each in places if (each / ".git").exists() and each != here]


def _of_worktrees(root: Path) -> Iterator[Item]:
    """The commits of other working trees that are on no branch."""
    for place in worktrees(root):
        detached = ("rev-list", "-1", "HEAD", "--not", "--branches", "--remotes")
        if tip := processes.git_line(place, *detached):
            fact = f"NOT SAVED: commit {tip[:7]}, on no branch, of the working tree {place}."
            yield Item(fact, "wrong", f"`git branch NAME {tip[:7]}`, and push that.")


def _of_modules(root: Path) -> list[Item]:
    """Submodules without files here, of which this clone has what none of their remotes has."""
    folder = root / processes.git_line(root, "rev-parse", "--git-common-dir") / "modules"
    alone = ("rev-list", "-1", "HEAD", "--branches", "--not", "--remotes", "--")
    names = [
        str(place.relative_to(folder))
        for place in _repositories(folder)
        if not (place / _inside(place, "config", "--local", "core.worktree") / ".git").exists()
        and _inside(place, *alone)
    ]
    fact = f"Only here: commits of submodules without files here: {', '.join(names)}."
    cure = "`git submodule update --init` brings their files; push them there."
    return [Item(fact, "warning", cure)] if names else []


def _repositories(folder: Path) -> Iterator[Path]:
    """Repositories without files of their own, and those in their `modules`."""
    if (folder / "HEAD").is_file():
        yield folder
        folder = folder / "modules"
    for each in sorted(folder.iterdir()) if folder.is_dir() else ():
        if each.is_dir():
            yield from _repositories(each)


def _inside(place: Path, *words: str) -> str:
    return processes.git_line(place, "--git-dir=.", "--work-tree=.", *words)


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
