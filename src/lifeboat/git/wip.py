"""What git does not have yet becomes a commit, and nothing of the user's changes for it.

Neither the index nor HEAD, the branch or a file is touched, unless the only changes are what the
pipeline makes, or the user gives a message: then they are committed on the branch, as a push does.
All else goes to a branch of its own, `wip/<branch>`, which is never checked out: each commit
there has HEAD and its forerunner as parents, so that every push of it is a fast-forward.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lifeboat import processes, project
from lifeboat.deadlines import Deadline
from lifeboat.git import commit, index, lock_file
from lifeboat.items import Item
from lifeboat.stage import abilities, artifacts
from lifeboat.stage.errors import UserError

_UNDERWAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


@dataclass(frozen=True)
class Saved:
    """The commit that holds the working tree.

    Attributes:
        commit: its full id, empty where there is nothing to hold.
        branch: the branch that it is on, without refs/heads/.
        items: what was done and what was left out.
        left_out: files that it does not hold as they are; `items` say why.
        began: when the working tree was looked at, by `clock`.
    """

    commit: str
    branch: str
    items: list[Item]
    left_out: frozenset[str] = frozenset()
    began: float = 0.0


@dataclass(frozen=True)
class Head:
    """Where a checkout stands.

    Attributes:
        commit: full id, empty before the first commit.
        branch: empty where HEAD is detached.
    """

    commit: str
    branch: str

    @property
    def wips(self) -> tuple[str, str]:
        """The branches that may take what is not to be committed here.

        Git cannot have a branch inside a branch. So the second is for where the first cannot be,
        because one is called `wip`, here or in the remote, or this very one begins so.
        """
        name = self.branch or f"detached-{self.commit[:7]}"
        first, second = f"wip/{name}", f"wip-{name}"
        return (second, first) if f"{name}/".startswith("wip/") else (first, second)

    @property
    def wip(self) -> str:
        """The first of them."""
        return self.wips[0]


def clock(root: Path) -> float:
    """Seconds since 1970 by the clock that the project's files have their times from, or by ours.

    On a network's disk it is another machine's.
    """
    with contextlib.suppress(OSError):
        return abilities.now(root)
    return time.time()


def head(root: Path) -> Head:
    """Where the checkout stands.

    Raises:
        UserError: where `root` is not a git repository, or one in which git does not work.
    """
    processes.require_repository(root)
    return Head(processes.git_id(root, "HEAD"), commit.branch(root))


def save(
    root: Path, message: str = "", *, aside: bool = False, deadline: Deadline | None = None
) -> Saved:
    """Makes a commit of everything that git does not ignore, where there is anything new.

    Args:
        root: the project.
        message: asks for a commit of it all on the branch that is checked out.
        aside: on no account on the branch, whose hooks may take long.
        deadline: when a commit on the branch has to end; then it is ended, and undone.

    Raises:
        UserError: where git cannot write.
    """
    began = clock(root)
    here, paths = head(root), commit.changed(root)
    if not paths:
        return replace(_as_committed(here), began=began)
    left_out = _left_out(root, paths)
    items = [item for found in left_out.values() for item in found]
    if not aside and _may_commit(root, here, paths, message):
        if items:
            items.append(_not_here(here.branch))
        else:
            refused: dict[str, str] = {}
            items += _commit_here(root, here, message, deadline, refused)
            if (now := head(root)).commit != here.commit:
                return Saved(now.commit, now.branch, items, frozenset(refused), began)
    saved = _aside(root, here, paths, set(left_out), items)
    return replace(saved, left_out=saved.left_out | frozenset(left_out), began=began)


def content(root: Path) -> str:
    """A hash of all that git would hold now, but for `runs/`, where backups themselves write."""
    paths = [path for path in commit.changed(root) if not path.startswith("runs/")]
    left_out = _left_out(root, paths)
    tree_ = index.tree(root, [path for path in paths if path not in left_out]).id
    listed = processes.git(root, "ls-tree", "-z", tree_).stdout.split("\0")
    return artifacts.sha256_json([line for line in listed if not line.endswith("\truns")])


def has(root: Path, commit_: str, past: str) -> bool:
    """Whether a commit has another one in its past; each has nothing in it."""
    if not past or not commit_:
        return not past
    return processes.git(root, "merge-base", "--is-ancestor", past, commit_).returncode == 0


def chain(root: Path, here: Head, tree_: str, branches: Sequence[str]) -> tuple[str, str]:
    """The commit that holds a tree and has HEAD in its past, made if need be, and its branch.

    Args:
        root: the project.
        here: where the checkout stands.
        tree_: the tree.
        branches: wip branches, of which the first is taken that git can write.

    Raises:
        UserError: where git can write none.
    """
    said = ""
    for branch in branches:
        made, said = _chain(root, here, tree_, branch)
        if made:
            return made, branch
    raise UserError(f"git cannot write the branch {' or '.join(branches)}: {said}.")


def _chain(root: Path, here: Head, tree_: str, branch: str) -> tuple[str, str]:
    """The commit, or nothing and what git says where it cannot write that branch."""
    said = ""
    for _ in range(lock_file.ATTEMPTS):  # another backup may have moved it
        local = processes.git_id(root, f"refs/heads/{branch}")
        new = following(root, here, tree_, local or _upstream(root, branch))
        if new == local:
            return new, ""
        update = ["update-ref", "-m", "backup", f"refs/heads/{branch}", new, local]
        moved = processes.git(root, *update, extra=_identity(root))
        if moved.returncode == 0:
            return new, ""
        said = processes.last_lines(moved)
        if not local and "exists; cannot create" in said:
            break
    return "", said


def following(root: Path, here: Head, tree_: str, before: str) -> str:
    """What follows `before` on a wip branch and holds a tree: itself, HEAD, or a new commit.

    Args:
        root: the project.
        here: where the checkout stands, or what is taken for that.
        tree_: the tree.
        before: the commit that the branch has, empty where it has none.

    Raises:
        UserError: where git cannot write.
    """
    if before and has(root, before, here.commit) and tree_of(root, before) == tree_:
        return before
    follows = not before or has(root, here.commit, before)
    if here.commit and follows and tree_of(root, here.commit) == tree_:
        return here.commit
    parents = [p for p in dict.fromkeys((here.commit, before)) if p]
    title = f"Backup of {here.branch or 'a detached HEAD'}, {time.strftime('%Y-%m-%d %H:%M:%S')}"
    options = [word for parent in parents for word in ("-p", parent)]
    made = processes.git(root, "commit-tree", *options, "-m", title, tree_, extra=_identity(root))
    return index.require(made)


def _as_committed(here: Head) -> Saved:
    if not here.commit:
        return Saved("", "", [Item("There is no commit yet and nothing to commit.", "wrong")])
    fact = f"Nothing to commit: {here.commit[:7]} has everything that git holds."
    return Saved(here.commit, here.branch or here.wip, [Item(fact)])


def _may_commit(root: Path, here: Head, paths: list[str], message: str) -> bool:
    """Whether the changes are to go onto the branch that is checked out."""
    folder = Path(processes.git_line(root, "rev-parse", "--absolute-git-dir"))
    if not here.branch or any((folder / name).exists() for name in _UNDERWAY):
        return False
    is_product = project.contract(root).is_product
    return bool(message) or (all(map(is_product, paths)) and not commit.is_staged(root))


def _commit_here(
    root: Path, here: Head, message: str, deadline: Deadline | None, refused: dict[str, str]
) -> list[Item]:
    """The commit on the branch; where a hook or a lock is in the way, what was said."""
    title = message or f"Results of {time.strftime('%Y-%m-%d %H:%M')}"
    items = commit.commit(root, title, deadline, refused)
    if processes.git_id(root, "HEAD") != here.commit:
        return items
    said = [Item(item.fact, "warning") for item in items if "`git" in item.fact]
    return [*said, _not_here(here.branch)]


def _not_here(branch: str) -> Item:
    return Item(f"Nothing was committed on {branch} itself.", "warning")


def _aside(
    root: Path, here: Head, paths: list[str], left_out: set[str], items: list[Item]
) -> Saved:
    taken = [path for path in paths if path not in left_out]
    tree_, lock_items = _tree_with_whole_lock(root, here, taken)
    items = [*items, *lock_items, *index.told(tree_.refused)]
    lacking = frozenset(tree_.refused) | (
        frozenset({lock_file.NAME}) if lock_items else frozenset()
    )
    if here.commit and tree_.id == tree_of(root, here.commit):
        saved = _as_committed(here)
        return Saved(saved.commit, saved.branch, [*items, *saved.items], lacking)
    made, branch = chain(root, here, tree_.id, here.wips)
    fact = (
        f"{len(taken) - len(tree_.refused)} changed files are in commit {made[:7]} of the branch "
        f"{branch}; index, HEAD and files were not touched."
    )
    return Saved(made, branch, [*items, Item(fact), *_staged(root)], lacking)


def _tree_with_whole_lock(
    root: Path, here: Head, paths: list[str]
) -> tuple[index.Tree, list[Item]]:
    """The tree of some paths, with the last whole dvc.lock where the file is the beginning of one.

    What is looked at is what the tree holds: the file may be written at any moment.
    """
    if lock_file.NAME not in paths:
        return index.tree(root, paths), []
    known = (processes.git_id(root, f"refs/heads/{w}") or _upstream(root, w) for w in here.wips)
    last = next((one for one in known if one and has(root, one, here.commit)), here.commit)
    for _ in lock_file.patiently():
        made = index.tree(root, paths)
        if not lock_file.is_cut(root, made.id, last):
            return made, []
    oid = processes.git_id(root, f"{last}:./{lock_file.NAME}")
    fact = f"{lock_file.NAME} is cut off in the middle: its last whole version is saved instead."
    kept = [path for path in paths if path != lock_file.NAME]
    return index.tree(root, kept, oid), [Item(fact, "warning", lock_file.CURE)]


def _upstream(root: Path, branch: str) -> str:
    """The commit that the remote was last seen to have on a branch."""
    return processes.git_id(root, f"refs/remotes/{commit.remote_name(root)}/{branch}")


def _left_out(root: Path, paths: list[str]) -> dict[str, list[Item]]:
    """Paths that do not go into a commit of ours, and why not."""
    foreign = {path: [_foreign(path)] for path in paths if path.endswith("/")}
    return commit.refused(root, paths) | foreign


def _foreign(path: str) -> Item:
    fact = f"NOT SAVED: {path} is a git repository of its own."
    return Item(fact, "wrong", "Push it to where it belongs, or ignore it.")


def _staged(root: Path) -> list[Item]:
    """A warning where the index has versions of files that are neither in HEAD nor on the disk."""
    both = [path for marks, path in commit.status(root) if marks != "??" and " " not in marks]
    if not both:
        return []
    fact = f"Staged versions that differ from the files are only here: {', '.join(both)}."
    return [Item(fact, "warning", "Commit them, or lose the difference; the files are saved.")]


def tree_of(root: Path, commit_: str) -> str:
    """The tree of a commit; empty where there is none."""
    return processes.git_id(root, f"{commit_}^{{tree}}")


def _identity(root: Path) -> dict[str, str]:
    """A name for commits where git takes none of the user's, as on a new machine."""
    own = {"NAME": "lifeboat backup", "EMAIL": "backup@localhost"}
    return {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        if processes.git(root, "var", f"GIT_{who}_IDENT").returncode != 0
        for what, value in own.items()
    }
