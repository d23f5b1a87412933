"""Whether a commit holds the files that are there, each by its bytes; else which not, and why.

`git status` is not asked whether a file has changed: settings, bits of the index and submodules
hide that from it. The files are walked, hashed as git does, and looked up in the commit's tree.
"""

import hashlib
import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lifeboat import processes
from lifeboat.deadlines import Deadline
from lifeboat.git import commit, index, refs, taking, wip
from lifeboat.items import Item, Verdict, counted
from lifeboat.proof import ignored, outside, pipeline, projects
from lifeboat.proof.pipeline import Kept
from lifeboat.remotes import remote
from lifeboat.stage.errors import UserError
from lifeboat.steps import Steps

_SUBMODULE = "160000"


@dataclass(frozen=True)
class Lack:
    """A file that is there and that a commit does not hold as it is.

    Attributes:
        path: relative to the top of the repository.
        why: the reason.
        cure: what to do.
        verdict: of being told.
    """

    path: str
    why: str
    cure: str
    verdict: Verdict = "wrong"


@dataclass(frozen=True)
class Comparison:
    """What became of comparing a working tree with a commit.

    Attributes:
        there: files that are there and that git does not ignore.
        ignored: files and folders that it does.
        lacks: what the commit does not hold, but for what is told already.
        submodules: the same of each submodule; its lacks are among these.
    """

    there: tuple[str, ...]
    ignored: tuple[str, ...]
    lacks: tuple[Lack, ...]
    submodules: dict[str, "Comparison"]

    def all(self, start: str = "") -> Iterator[tuple[str, "Comparison"]]:
        """This and those of the submodules, each with how its paths begin."""
        yield start, self
        for path, inside in self.submodules.items():
            yield from inside.all(f"{start}{path}/")


def items(root: Path, saved: wip.Saved, deadline: Deadline | None = None) -> list[Item]:
    """What of the working tree a commit holds and what not, in sentences.

    Args:
        root: the project.
        saved: the commit, and the files of which it is told already that it lacks them.
        deadline: for asking the remotes of submodules.

    Raises:
        UserError: where git cannot be asked.
    """
    top = processes.require_repository(root)
    saved, deadline = _from_top(root, saved), deadline or Deadline()
    found = compare(top, saved, deadline)
    lacking = saved.left_out.union(lack.path for lack in found.lacks)
    n_files, n_lacking = len(found.there), len(lacking.intersection(found.there))
    fact = f"{n_files - n_lacking} of {counted(n_files, 'file')} here are in commit "
    fact += f"{saved.commit[:7]} as"
    first = Item(f"{fact} they are (compared by their content).")
    told = [first, *_told(found), *_beside(top, root, found, deadline)]
    places = [place for start, _each in found.all() for place in refs.worktrees(top / start)]
    return [*told, *(item for place in places for item in _of_worktree(place, root, deadline))]


def compare(top: Path, saved: wip.Saved, deadline: Deadline) -> Comparison:
    """The files of a repository that are there, and those that a commit of it lacks.

    Raises:
        UserError: where git cannot be asked.
    """
    entries = _entries(top, saved.commit)
    ignored = [path for marks, path in commit.status(top, "--ignored=matching") if marks == "!!"]
    submodules = dict[str, Comparison]()
    modules = {path: oid for path, (mode, oid) in entries.items() if mode == _SUBMODULE}
    folders = {*(path for path in saved.left_out if path[-1] == "/"), *(f"{m}/" for m in modules)}
    there = tuple(walk(top, folders.union(ignored)))
    unsure = [path for path in there if path not in saved.left_out]
    odd = [path for path in unsure if not _is_held(top, path, entries.get(path))]
    lacking, bits = _lacking(top, saved.commit, odd), _bits(top)
    lacks = [_why(top, path, saved.began, bits) for path in lacking]
    lacks += _filtered(top, [path for path in odd if path not in lacking])
    for path, oid in modules.items():
        if (top / path / ".git").exists():
            own = replace(saved, commit=oid, left_out=frozenset())
            submodules[path] = compare(top / path, own, deadline)
            lacks += _of_submodule(top, path, oid, submodules[path], deadline)
        else:
            lacks += _in_its_place(top, path)
    return Comparison(there, tuple(ignored), tuple(lacks), submodules)


def walk(top: Path, skipped: set[str]) -> Iterator[str]:
    """Files and links below a folder, relative to it, but for git's own.

    Args:
        top: the folder.
        skipped: files that are left out, and folders, with a slash at their end.

    Raises:
        UserError: for a folder that cannot be read.
    """
    folders = [""]
    while folders:
        start = folders.pop()
        try:
            entries = sorted(os.scandir(top / start), key=lambda each: each.name)
        except FileNotFoundError:  # a stage may just have renamed it
            continue
        except OSError as error:
            raise UserError(f"The folder {start} cannot be read: {error.strerror}.") from error
        for each in entries:
            path = start + each.name
            if each.name == ".git" or path in skipped or f"{path}/" in skipped:
                continue
            if each.is_dir(follow_symlinks=False):
                folders.append(f"{path}/")
            elif each.is_symlink() or each.is_file():
                yield path


def _beside(top: Path, root: Path, found: Comparison, deadline: Deadline) -> list[Item]:
    """What is told of links, of what git ignores, and of DVC's other projects and submodules."""
    there = [f"{start}{path}" for start, each in found.all() for path in each.there]
    hidden = [f"{start}{path}" for start, each in found.all() for path in each.ignored]
    others = projects.others(top, root, [*there, *hidden])
    kept = [_kept(project, top) for project in (root, *others)]
    outs = tuple(path for each in kept for path in each.outs)
    uncached = tuple(path for each in kept for path in each.uncached)
    left_out = {path for each in kept for path in each.left_out}.difference(there)
    named = tuple(each for one in kept for each in one.outside)
    told = outside.items(top, root, there, Kept(outs, outside=named))
    for start, each in found.all():
        own = Kept(_below(start, outs), _below(start, sorted(left_out)))
        own = replace(own, uncached=_below(start, uncached))
        told += ignored.items(top / start, each.ignored, own, start)
        alone = refs.only_here(top / start, deadline) if start else []
        told += [replace(item, fact=f"In the submodule {start}: {item.fact}") for item in alone]
    return [*told, *projects.items(top, others, deadline)]


def _of_worktree(place: Path, root: Path, deadline: Deadline) -> list[Item]:
    """What another working tree has and neither its HEAD nor its newest backup: files and data."""
    steps = Steps()
    steps.add("Looking through it", lambda: _alone(place, root, deadline))
    cure = f"Run `lifeboat backup` in it, or `git worktree remove {shlex.quote(str(place))}`."
    where = f"In the working tree {place} of this repository: "
    return [
        Item(f"{where}{item.fact}", item.verdict, cure)
        for item in steps.items
        if item.verdict != "ok"
    ]


def _alone(place: Path, root: Path, deadline: Deadline) -> list[Item]:
    here, found = wip.head(place), Comparison((), (), (), {})
    for commit_ in filter(None, (here.commit, *taking.wips(place, here)[:1])):
        found = compare(place, wip.Saved(commit_, here.branch, []), deadline)
        if all(lack.verdict != "wrong" for lack in found.lacks):
            break
    return [*_told(found), *_beside(place, root, found, deadline)]


def _below(start: str, paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(path.removeprefix(start) for path in paths if path.startswith(start))


def _kept(project: Path, top: Path) -> Kept:
    try:
        return pipeline.kept(project, top)
    except UserError:  # the data's side says why
        return Kept()


def _from_top(root: Path, saved: wip.Saved) -> wip.Saved:
    if not (start := commit.start_of(root)):
        return saved
    left = (
        f"{os.path.normpath(start + path)}{'/' * path.endswith('/')}" for path in saved.left_out
    )
    return replace(saved, left_out=frozenset(left))


def _entries(top: Path, commit_: str) -> dict[str, tuple[str, str]]:
    """Mode and id of every file in a commit's tree."""
    listed = processes.git(top, "ls-tree", "-r", "-z", "--full-tree", commit_)
    if listed.returncode != 0:
        raise UserError(f"git cannot list commit {commit_[:7]}: {processes.last_lines(listed)}.")
    rows = [row.partition("\t") for row in listed.stdout.split("\0") if row]
    return {path: (facts.split()[0], facts.split()[2]) for facts, _, path in rows}


def _is_held(top: Path, path: str, entry: tuple[str, str] | None) -> bool:
    """Whether a file has exactly the bytes that the tree has under its name."""
    if entry is None:
        return False
    hashed = hashlib.sha256() if len(entry[1]) == 64 else hashlib.sha1(usedforsecurity=False)
    try:
        file = top / path
        hashed.update(b"blob %d\0" % file.lstat().st_size)
        if file.is_symlink():
            hashed.update(os.fsencode(os.readlink(file)))
        else:
            with file.open("rb") as opened:
                hashlib.file_digest(opened, lambda: hashed)
    except OSError:
        return False
    return hashed.hexdigest() == entry[1]


def _lacking(top: Path, commit_: str, paths: list[str]) -> list[str]:
    """The files that a commit lacks also by git's own hash: it may filter them (ends of lines)."""
    if not paths:
        return []
    tree = index.tree(top, paths, start=commit_)
    words = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", commit_, tree.id)
    differing = processes.git(top, *words).stdout.split("\0")
    return sorted({*filter(None, differing), *tree.refused})


def _filtered(top: Path, paths: list[str]) -> list[Lack]:
    """The files of which a commit has what a filter made of them, and not their content.

    git-lfs sends the content when git pushes, if its hook is there.
    """
    if not paths:
        return []
    asked = ("config", "--name-only", "--get-regexp", r"^filter\..*\.(clean|process)$")
    drivers = {name[7:].rpartition(".")[0] for name in processes.git_line(top, *asked).split("\n")}
    drivers_by_path = index.attributes(top, paths, "filter").items()
    return [
        _filtered_by(top, driver, path) for path, driver in drivers_by_path if driver in drivers
    ]


def _filtered_by(top: Path, driver: str, path: str) -> Lack:
    if driver != "lfs":
        why = f"the commit has what the filter `{driver}` makes of it, and not what is here"
        cure = f"`dvc add` it, or take `filter={driver}` from .gitattributes and `git add` it."
        return Lack(path, why, cure)
    hook = top / processes.git_line(top, "rev-parse", "--git-path", "hooks/pre-push")
    verdict: Verdict = "warning" if hook.is_file() and b"lfs" in hook.read_bytes() else "wrong"
    why = "the commit has a pointer of git-lfs to it, whose content git-lfs sends and we do not see"
    return Lack(path, why, "`git lfs install` and `git lfs push --all REMOTE`.", verdict)


def _bits(top: Path) -> dict[str, str]:
    """The files of which git is told not to look whether they change, and by which bit."""
    rows = processes.git(top, "ls-files", "-v", "-z").stdout.split("\0")
    bits = {row[2:]: "skip-worktree" for row in rows if row[:1] in ("S", "s")}
    return bits | {row[2:]: "assume-unchanged" for row in rows if row[:1].islower()}


def _why(top: Path, path: str, began: float, bits: dict[str, str]) -> Lack:
    if bit := bits.get(path):
        cure = f"`git update-index --no-{bit} FILE`, then run it again; or undo the change."
        return Lack(path, f"the bit {bit} of the index hides the change from git", cure)
    if any((top / folder / ".git").exists() for folder in list(Path(path).parents)[:-1]):
        cure = "Push it to where it belongs, or ignore it."
        return Lack(path, "it is in a git repository of its own", cure)
    if os.path.lexists(top / path) and (top / path).lstat().st_ctime > began > 0:
        cure = "The next backup takes it."
        return Lack(path, "it was written after the commit was begun", cure, "warning")
    cure = "`git add FILE`, then run it again: git does not take it by itself, or has not yet."
    if processes.git_line(top, "config", "--type=bool", "core.ignoreCase") == "true":
        cure = "Is there another name but for its case? `git config core.ignoreCase false`."
    return Lack(path, "it is not in the commit as it is here", cure)


def _in_its_place(top: Path, path: str) -> list[Lack]:
    """The files that lie where a submodule belongs."""
    cure = "Move it away; `git submodule update --init` brings the submodule."
    why = f"it lies where the submodule {path} belongs"
    return [Lack(f"{path}/{name}", why, cure) for name in walk(top / path, set())]


def _of_submodule(
    top: Path, path: str, oid: str, inside: Comparison, deadline: Deadline
) -> list[Lack]:
    """What is in a submodule alone: a commit that its remote does not show, files as they are."""
    cure, short = f"Commit and push it there (`cd {path}`), then run it again.", oid[:7]
    why = f"it is not in commit {short} of the submodule {path}"
    lacks = [Lack(f"{path}/{lack.path}", why, cure) for lack in inside.lacks]
    if why := _not_shown(top / path, oid, deadline):
        return [Lack(path, f"submodule, whose commit {short} {why}", cure), *lacks]
    return lacks


def _not_shown(sub: Path, commit_: str, deadline: Deadline) -> str:
    """Why nobody else could get a commit; nothing where a remote shows it on another machine."""
    if not (name := commit.upstream_name(sub)):
        return "is only on this machine: it has no remote"
    url = processes.git_line(sub, "remote", "get-url", name) or name
    listed = commit.ask(sub, deadline, "ls-remote", url)
    if listed.returncode != 0:
        return f"cannot be looked for in {url}: {processes.last_lines(listed)}"
    tips = {line.partition("\t")[0] for line in listed.stdout.splitlines()}
    if not any(tip == commit_ or _has(sub, tip, commit_) for tip in tips):
        return f"is not on {url}"
    folder = remote.git_folder(url, sub)
    return f"is on {url} alone, on this machine" if folder and remote.same_disk(folder, sub) else ""


def _has(sub: Path, tip: str, commit_: str) -> bool:
    return bool(processes.git_id(sub, f"{tip}^{{commit}}")) and wip.has(sub, tip, commit_)


def _told(found: Comparison) -> list[Item]:
    """The files that are lacking, those of one reason together."""
    reasons: dict[tuple[str, str, Verdict], list[str]] = {}
    for lack in found.lacks:
        reasons.setdefault((lack.why, lack.cure, lack.verdict), []).append(lack.path)
    return [
        Item(f"NOT SAVED: {', '.join(paths)}: {why}.", verdict, cure)
        for (why, cure, verdict), paths in reasons.items()
    ]
