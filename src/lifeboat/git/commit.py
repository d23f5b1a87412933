"""The git side of a push: what may go into a commit, the commit, and the proof of the push.

Also the hook of `.pre-commit-config.yaml`: `python -m lifeboat.git.commit FILE...`.
It looks at what is staged.
"""

import sys
from pathlib import Path

from lifeboat import processes
from lifeboat.git import blobs, lock_file
from lifeboat.items import Item
from lifeboat.remotes import remote
from lifeboat.secrets import refusing, scanning

NO_REMOTE = Item(
    "git has no remote: THE CODE IS ONLY ON THIS MACHINE.",
    "wrong",
    "Run `git remote add origin URL`, then push again.",
)


def status(root: Path) -> list[tuple[str, str]]:
    """Git's two marks (of index and file) and the path of what differs and is not ignored."""
    options = ["--porcelain", "-z", "--no-renames", "--untracked-files=all"]
    rows = processes.git(root, "status", *options).stdout.split("\0")
    return [(row[:2], row[3:]) for row in rows if row]


def changed(root: Path) -> list[str]:
    """Paths that differ from HEAD or are untracked and not ignored, relative to `root`."""
    return sorted({path for _marks, path in status(root)})


def refusals(root: Path, paths: list[str]) -> list[Item]:
    """One item for each reason for which a path must not be committed."""
    return [item for items in refused(root, paths).values() for item in items]


def refused(root: Path, paths: list[str]) -> dict[str, list[Item]]:
    """The paths that must not be committed as they are in the working tree, and why not."""
    items_by_path: dict[str, list[Item]] = {}
    for each in refusing.reasons(refusing.in_tree(root, path) for path in paths):
        items_by_path.setdefault(each.file.path, []).append(_told(each))
    return items_by_path


def outgoing(root: Path, name: str, tip: str) -> list[Item]:
    """Why commits must not go to a remote that does not have them: hands made them, not we."""
    why = refusing.reasons(blobs.of_commits(root, tip, name))
    told = blobs.messages_of(root, tip, name)
    cure = (
        f"Undo the commits that {name} does not have, keeping every change (`git reset --soft "
        f"{name}/BRANCH`), mend that, and push again."
    )
    facts = [f"commit {_maker(root, each.file.oid, tip)}, {each.fact}" for each in why]
    facts += [
        f"the message of commit {commit_} looks like a secret ({kind})"
        for commit_, message in told.items()
        if (kind := scanning.in_line(message))
    ]
    return [Item(f"Not pushed: {fact}.", "wrong", cure) for fact in facts]


def commit(root: Path, message: str) -> list[Item]:
    """Commits every change that is not ignored, all or nothing; no hook is skipped."""
    paths = changed(root)
    if not paths:
        head = processes.git_line(root, "rev-parse", "--short", "HEAD") or "nothing"
        return [Item(f"Nothing to commit: {head} has everything that git holds.")]
    found = refusals(root, paths)
    if kind := scanning.in_line(message):
        fact = f"The message of the commit looks like it holds a secret ({kind})."
        found.append(Item(fact, "wrong", "Say it without."))
    if found:
        return [*found, Item("NOTHING WAS COMMITTED.", "wrong", "Mend that, then push again.")]
    if failed := _stage(root, paths):
        return [failed]
    # All that has changed is staged, and what is staged is whole; files may be written meanwhile.
    made = processes.git(root, "commit", "--quiet", "--message", message)
    if made.returncode != 0:
        return [_not_committed("commit", made)]
    head = processes.git_line(root, "rev-parse", "--short", "HEAD")
    return [Item(f"Committed {len(paths)} changed files as {head}.")]


def _stage(root: Path, paths: list[str]) -> Item | None:
    """Stages paths, and says why that could not be done."""
    options = ["add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul"]
    for _ in lock_file.patiently():
        added = processes.git(root, "--literal-pathspecs", *options, given="\0".join(paths))
        if added.returncode != 0:
            return _not_committed("add", added)
        if lock_file.NAME not in paths or not lock_file.is_cut(root, "", "HEAD"):
            return None
    fact = f"NOTHING WAS COMMITTED: {lock_file.NAME} is cut off in the middle (`git add` read it)."
    return Item(fact, "wrong", lock_file.CURE)


def _not_committed(command: str, done: processes.Finished) -> Item:
    fact = f"NOTHING WAS COMMITTED: `git {command}` failed: {processes.last_lines(done)}."
    return Item(fact, "wrong", "Mend that, then push again.")


def push(root: Path) -> list[Item]:
    """Pushes the branch at hand, then asks the remote whether it has the commit."""
    here, head, name = branch(root), processes.git_id(root, "HEAD"), remote_name(root)
    if not head:
        return [Item("There is no commit yet, so git has nothing to push.", "wrong")]
    if not here:
        fact = "HEAD is detached: the code was not pushed."
        return [Item(fact, "wrong", "Run `git switch -c NAME`, then push again.")]
    if not name:
        return [NO_REMOTE]
    if found := outgoing(root, name, head):
        return [*found, Item("THE CODE WAS NOT PUSHED.", "wrong", "Mend that, then push again.")]
    sent = processes.git(root, "push", "--quiet", name, f"HEAD:refs/heads/{here}")
    if sent.returncode != 0:
        fact = f"`git push` to {name} failed: {processes.last_lines(sent)}."
        return [Item(fact, "wrong", "The code is not saved there. Mend it and push again.")]
    listed = processes.git_line(root, "ls-remote", name, f"refs/heads/{here}")
    return [landed(root, push_url(root, name), here, head, listed.split("\t")[0])]


def branch(root: Path) -> str:
    """The branch that is checked out, empty where HEAD is detached."""
    return processes.git_line(root, "branch", "--show-current")


def remote_name(root: Path) -> str:
    """The git remote that the branch at hand is pushed to, empty where there is none."""
    names = processes.git_line(root, "remote").split()
    own = processes.git_line(root, "config", f"branch.{branch(root)}.remote")
    return own or ("origin" if "origin" in names else "".join(names[:1]))


def push_url(root: Path, name: str) -> str:
    """The address that a git remote is pushed to."""
    return processes.git_line(root, "remote", "get-url", "--push", name)


def landed(root: Path, url: str, name: str, commit: str, shown: str) -> Item:
    """Whether a branch at `url` shows the commit that was pushed, and on which disk that is."""
    if shown != commit:
        fact = f"{url} does not show commit {commit[:7]} on {name} after the push."
        return Item(fact, "wrong", "Push again, and look at the remote.")
    fact = f"Commit {commit[:7]} is on {name} of {url}"
    folder = remote.git_folder(url, root)
    if folder is None:
        return Item(f"{fact} (asked after the push).")
    cure = "Use a remote on another machine."
    if remote.same_disk(folder, root):
        return Item(f"{fact}, a folder: THE CODE IS ONLY ON THIS MACHINE.", "wrong", cure)
    fact = f"{fact}, a folder on another file system, which may or may not outlive this machine."
    return Item(fact, "warning", cure)


def main(paths: list[str] | None = None) -> int:
    """Prints why files of the project at hand must not be committed; exit 1 where any is.

    What is staged is looked at; where a path is not, the working tree.
    """
    root, wanted = Path.cwd(), sys.argv[1:] if paths is None else paths
    staged = list(blobs.of_index(root, wanted))
    rest = set(wanted) - {each.path for each in staged}
    found = refusing.reasons([*staged, *(refusing.in_tree(root, path) for path in sorted(rest))])
    for item in map(_told, found):
        print(item.fact, item.cure)
    return 1 if found else 0


def _told(why: refusing.Reason) -> Item:
    return Item(f"Not committed: {why.fact}.", "wrong", why.cure)


def _maker(root: Path, oid: str, tip: str) -> str:
    """The oldest commit that has a version of a file."""
    made = processes.git_line(root, "log", "--format=%h", f"--find-object={oid}", tip)
    return made.split()[-1] if made else tip[:7]


if __name__ == "__main__":
    raise SystemExit(main())
