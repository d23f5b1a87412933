"""The git side of a push: what may go into a commit, the commit, and the proof of the push.

Also the hook of `.pre-commit-config.yaml`: `python -m lifeboat.git.commit FILE...`.
It looks at what is staged.
"""

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lifeboat import deadlines, processes
from lifeboat.deadlines import Deadline
from lifeboat.git import blobs, index, lock_file
from lifeboat.items import Item, proven
from lifeboat.remotes import remote
from lifeboat.secrets import refusing, scanning
from lifeboat.stage.errors import UserError

_ALONE = "THE CODE IS ONLY ON THIS MACHINE"

NO_REMOTE = Item(
    f"git has no remote: {_ALONE}.",
    "wrong",
    "Run `git remote add origin URL`, then push again.",
)

_LOST = (
    "A crash has emptied files of git: `find .git/objects -type f -empty -delete`, then `git fetch "
    "--refetch`; where HEAD was never pushed, `git reset --soft @{u}` as well. No file changes."
)

_ONE = "lifeboat-one-address"

IN_THE_WAY = re.compile(r"'refs/heads/([^']+)' exists; cannot create")
"""What git says of a branch inside of which, or around which, there can be no other."""


def status(root: Path, *options: str) -> list[tuple[str, str]]:
    """Git's two marks (of index and file) and the path of what differs and is not ignored.

    Paths are relative to `root`, which may be a folder of the repository.

    Raises:
        UserError: where git cannot tell.
    """
    wanted = ["--porcelain", "-z", "--no-renames", "--untracked-files=all"]
    asked = processes.git(root, "status", *wanted, "--ignore-submodules=none", *options)
    if asked.returncode != 0:
        fact = f"git does not tell what has changed: {processes.last_lines(asked)}."
        is_lost = any(word in asked.stderr for word in ("corrupt", "bad object", "unable to read"))
        raise UserError(fact, _LOST if is_lost else "`lifeboat doctor` looks at git's index, too.")
    start = start_of(root)
    return [(row[:2], below(row[3:], start)) for row in asked.stdout.split("\0") if row]


def start_of(root: Path) -> str:
    """How paths of the repository begin that are in `root`: empty where that is its top."""
    if (root / ".git").exists():
        return ""
    return processes.git(root, "rev-parse", "--show-prefix").stdout.removesuffix("\n")


def below(path: str, start: str) -> str:
    """A path of the repository as it is called in one of its folders."""
    if path.startswith(start):
        return path.removeprefix(start)
    return os.path.relpath(path, start) + ("/" if path.endswith("/") else "")


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


def commit(
    root: Path,
    message: str,
    deadline: Deadline | None = None,
    refused: dict[str, str] | None = None,
) -> list[Item]:
    """Commits every change that is not ignored, or nothing; no hook is skipped.

    Args:
        root: the project.
        message: of the commit.
        deadline: when it has to end.
        refused: takes the files that git itself cannot take, which are left out, and what it says.
    """
    rows, refused = status(root), {} if refused is None else refused
    paths = sorted({path for _marks, path in rows})
    if not paths:
        return [_nothing(root)]
    found = [*_conflicts(root, rows), *refusals(root, paths)]
    if kind := scanning.in_line(message):
        fact = f"The message of the commit looks like it holds a secret ({kind})."
        found.append(Item(fact, "wrong", "Say it without."))
    if found:
        return [*found, Item("NOTHING WAS COMMITTED.", "wrong", "Mend that, then push again.")]
    try:
        with index.put_back(root):
            refused |= _stage(root, paths)
            if _is_as_committed(root):  # such as a change inside of a submodule
                return [_nothing(root), *index.told(refused)]
            made = _commit(root, message, deadline or Deadline())
    except UserError as error:
        return [*index.told(refused), Item(f"NOTHING WAS COMMITTED: {error}", "wrong")]
    fact = f"Committed {len(paths) - len(refused)} changed files as {made}."
    return [Item(fact), *index.told(refused)]


def _conflicts(root: Path, rows: list[tuple[str, str]]) -> list[Item]:
    """Files of a merge that nobody has called mended, or that DVC could not read as they are."""
    try:
        lock_file.require_merged(root)
    except UserError as error:
        return [Item(str(error), "wrong")]
    names = sorted({path for marks, path in rows if "U" in marks or marks in ("AA", "DD")})
    cure = "Mend each and `git add` it, or `git merge --abort`."
    return [Item(f"A merge CONFLICT in {', '.join(names)}.", "wrong", cure)] if names else []


def _nothing(root: Path) -> Item:
    head = processes.git_line(root, "rev-parse", "--short", "HEAD") or "nothing"
    return Item(f"Nothing to commit: {head} has everything that git holds.")


def _is_as_committed(root: Path) -> bool:
    return not is_staged(root, "HEAD") and not processes.git_id(root, "MERGE_HEAD")


def is_staged(root: Path, *start: str) -> bool:
    """Whether the index differs from HEAD, by another commit in a submodule too."""
    words = ("diff", "--cached", "--quiet", "--ignore-submodules=none", *start)
    return processes.git(root, *words).returncode != 0


def _stage(root: Path, paths: list[str]) -> dict[str, str]:
    """Stages paths: all that has changed, and whole; what git does not take, with its reason."""
    refused: dict[str, str] = {}
    for _ in lock_file.patiently():
        refused = index.take(root, paths)
        if lock_file.NAME not in paths or not lock_file.is_cut(root, "", "HEAD"):
            return refused
    fact = f"{lock_file.NAME} is cut off in the middle (git read it so)."
    raise UserError(fact, lock_file.CURE)


def _commit(root: Path, message: str, deadline: Deadline) -> str:
    """A commit of what is staged, by its short name; files may be written meanwhile."""
    words = ["commit", "--quiet", "--message", message]
    is_signed = processes.git_line(root, "config", "--type=bool", "commit.gpgSign") == "true"
    signing = ", or the program that signs commits, which may ask for a passphrase"
    what = f"`git commit` (a hook of yours{signing if is_signed else ''})"
    made = ask(root, deadline, *words, what=what)
    if made.returncode == deadlines.TIMED_OUT:
        cure = "`git config commit.gpgSign false` for as long as nobody is here to be asked."
        fact = f"{what} did not end in the time that it had, and was ended."
        raise UserError(fact, cure if is_signed else "")
    if made.returncode != 0:
        said = processes.last_lines(made)
        raise UserError(f"`git commit` failed: {said}.", "Mend that, then push again.")
    return processes.git_line(root, "rev-parse", "--short", "HEAD")


def ask(root: Path, deadline: Deadline, *words: str, what: str = "") -> processes.Finished:
    """A git that others may keep waiting: a remote, a hook, who is asked for a passphrase.

    In a hurry it asks for no password and ends in time, with the code `deadlines.TIMED_OUT`.
    """
    with processes.told_while_waiting(what or f"`git {words[0]}`"):
        if deadline.is_never:
            return processes.git(root, *words)
        alone = {"GIT_TERMINAL_PROMPT": "0", **processes.index_variables(root)}
        return deadlines.call([*processes.GIT, *words], root, deadline, alone)


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
    places = destinations(root, name)
    return best([_push(root, place, here, head) for place in places])


def _push(root: Path, place: "Destination", here: str, head: str) -> list[Item]:
    """A branch pushed to one address, and whether that shows it."""
    sent = send(root, Deadline(), place, "--quiet", f"HEAD:refs/heads/{here}")
    if sent.returncode != 0:
        fact = f"`git push` to {place} failed: {with_words(processes.last_lines(sent), sent)}."
        cure = cure_of(sent.stderr) or "Mend it and push again."
        return [Item(fact, "wrong", f"The code is not saved there. {cure}")]
    listed = processes.git_line(root, "ls-remote", place.url, f"refs/heads/{here}")
    return [landed(root, place.url, here, head, listed.split("\t")[0])]


def best(found: Sequence[list[Item]]) -> list[Item]:
    """What is told of a push to several addresses: one that has all is enough, and none is hidden.

    Args:
        found: what became of each, those that are farther from this machine first.
    """
    n = next((n for n, items in enumerate(found) if proven(items)), 0)
    rest = [item for items in (*found[:n], *found[n + 1 :]) for item in items]
    return [*found[n], *(map(_besides, rest) if proven(found[n]) else rest)]


def _besides(item: Item) -> Item:
    """What is told of an address where another one has all."""
    if _ALONE in item.fact:
        return Item(item.fact.replace(f": {_ALONE}", " of this machine"))
    return replace(item, verdict="warning") if item.verdict == "wrong" else item


@dataclass(frozen=True)
class Destination:
    """One address of a git remote.

    Attributes:
        name: of the remote.
        url: the address, which is the remote's name where it has none.
        is_only: whether the remote has no other one.
    """

    name: str
    url: str
    is_only: bool = True

    def __str__(self) -> str:
        return self.name if self.is_only else f"{self.name} ({self.url})"

    @property
    def settings(self) -> list[str]:
        """Makes this address a remote of its own, `git push` to which alone is seen here."""
        if self.is_only:
            return []
        seen = f"+refs/heads/*:refs/remotes/{self.name}/*"
        return ["-c", f"remote.{_ONE}.url={self.url}", "-c", f"remote.{_ONE}.fetch={seen}"]


def destinations(root: Path, name: str) -> list[Destination]:
    """The addresses that a git remote is pushed to, those that do not go with this machine first.

    Each is pushed to by itself: git ends at the first that it cannot reach.
    """
    listed = processes.git_line(root, "remote", "get-url", "--push", "--all", name)
    urls = list(dict.fromkeys(listed.splitlines())) or [name]
    urls.sort(key=lambda url: _nearness(remote.git_folder(url, root), root))
    return [Destination(name, url, len(urls) == 1) for url in urls]


def send(root: Path, deadline: Deadline, place: Destination, *words: str) -> processes.Finished:
    """A finished `git push` of named branches to one address.

    Settings that allow of no names, or ask what the remote cannot do, are put aside for it.
    """
    mirrors = processes.git_line(root, "config", "--get-regexp", r"^remote\..*\.mirror$")
    own = [word for line in mirrors.splitlines() for word in ("-c", f"{line.split()[0]}=false")]
    own += place.settings
    options = [word for word in words if word.startswith("-")]
    where = [place.name if place.is_only else _ONE, *words[len(options) :]]
    sent = ask(root, deadline, *own, "push", *options, *where, what="`git push`")
    if "receiving end does not support" in sent.stderr:
        own += ["-c", "push.gpgSign=false", "-c", "push.pushOption="]
        sent = ask(root, deadline, *own, "push", *options, *where, what="`git push`")
    return sent


def with_words(said: str, sent: processes.Finished) -> str:
    """What git says of a push, and after it what the remote itself does: git prints it as such."""
    words = [line[7:].strip() for line in sent.stderr.splitlines() if line.startswith("remote:")]
    new = " / ".join(word for word in words if word and word not in said)
    return f"{said} (the remote says: {new.rstrip('.')})" if new else said


def cure_of(said: str) -> str:
    """What to do where a remote has refused a push for a reason that git names; else nothing."""
    if "shallow update" in said:
        return "Run `git fetch --unshallow`, then push again."
    if found := IN_THE_WAY.search(said):
        return f"Rename the branch `{found[1]}` there, which is in the way, when there is time."
    return ""


def branch(root: Path) -> str:
    """The branch that is checked out, empty where HEAD is detached."""
    return processes.git_line(root, "branch", "--show-current")


def remote_name(root: Path) -> str:
    """The git remote that `git push` sends the branch at hand to, empty where there is none."""
    own = f"branch.{branch(root)}"
    return _named(root, f"{own}.pushRemote", "remote.pushDefault", f"{own}.remote")


def upstream_name(root: Path) -> str:
    """The git remote that the branch at hand is pulled from, empty where there is none."""
    return _named(root, f"branch.{branch(root)}.remote")


def _named(root: Path, *settings: str) -> str:
    """The first remote that a setting names; `.`, this very repository, is none. Else `origin`."""
    found = (processes.git_line(root, "config", setting) for setting in settings)
    names = processes.git_line(root, "remote").split()
    other = "origin" if "origin" in names else "".join(names[:1])
    return next((name for name in found if name not in ("", ".")), other)


def push_url(root: Path, name: str) -> str:
    """The address that a git remote is pushed to; one that has no name is its own.

    Of several it is the first that does not go with this machine.
    """
    return destinations(root, name)[0].url


def _nearness(folder: Path | None, root: Path) -> int:
    return 0 if folder is None else 1 + remote.same_disk(folder, root)


def landed(root: Path, url: str, name: str, commit: str, shown: str) -> Item:
    """Whether a branch at `url` shows the commit that was pushed, and on which disk that is."""
    if shown != commit:
        fact = f"{url} does not show commit {commit[:7]} on {name} after the push."
        return Item(fact, "wrong", "Push again, and look at the remote.")
    fact = f"Commit {commit[:7]} is on {name} of {url}"
    folder = remote.git_folder(url, root)
    cure = "Use a remote on another machine."
    if host := remote.host_here(url):
        fact = f"{fact}, A SERVER ON THIS MACHINE, {host}: it may go with it."
        return Item(fact, "warning", cure)
    if folder is None:
        return Item(f"{fact} (asked after the push).")
    if remote.same_disk(folder, root):
        return Item(f"{fact}, a folder: {_ALONE}.", "wrong", cure)
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
