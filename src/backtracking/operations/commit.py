"""The git side of a push: what may go into a commit, the commit, and the proof of the push.

Also the hook of `.pre-commit-config.yaml`: `python -m backtracking.operations.commit FILE...`.
"""

import sys
from pathlib import Path

from backtracking.operations import processes, remote, secrets
from backtracking.operations.items import Item

MAX_BYTES = 10_000_000
"""Larger files belong to DVC."""

_NEVER = ("config.local",)


def changed(root: Path) -> list[str]:
    """Paths that differ from HEAD or are untracked and not ignored, relative to `root`."""
    finished = processes.git(
        root, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all"
    )
    return sorted({entry[3:] for entry in finished.stdout.split("\0") if entry})


def refusals(root: Path, paths: list[str]) -> list[Item]:
    """One item for each path that must not be committed, and why."""
    present = [path for path in paths if (root / path).is_file()]
    items = [_refused(path, reason) for path in present if (reason := _reason(root, path))]
    small = [root / path for path in present if (root / path).stat().st_size <= MAX_BYTES]
    cure = "Take it out (or end the line with `# pragma: allowlist secret` if it is none)."
    for finding in secrets.find(small):
        where = f"{finding.path.relative_to(root)}, line {finding.line}"
        fact = f"Not committed: {where} looks like a secret ({finding.kind})."
        items.append(Item(fact, "wrong", cure))
    return items


def commit(root: Path, message: str) -> list[Item]:
    """Commits every change that is not ignored, all or nothing; no hook is skipped."""
    paths = changed(root)
    if not paths:
        head = processes.git_line(root, "rev-parse", "--short", "HEAD") or "nothing"
        return [Item(f"Nothing to commit: {head} has everything that git holds.")]
    refused = refusals(root, paths)
    if refused:
        return [*refused, Item("NOTHING WAS COMMITTED.", "wrong", "Mend that, then push again.")]
    listed = "\0".join(paths)
    arguments = ["--pathspec-from-file=-", "--pathspec-file-nul"]
    for command in (["add", "--all"], ["commit", "--quiet", "--message", message]):
        finished = processes.git(root, "--literal-pathspecs", *command, *arguments, given=listed)
        if finished.returncode != 0:
            said = processes.last_lines(finished)
            fact = f"NOTHING WAS COMMITTED: `git {command[0]}` failed: {said}."
            return [Item(fact, "wrong", "Mend that, then push again.")]
    head = processes.git_line(root, "rev-parse", "--short", "HEAD")
    return [Item(f"Committed {len(paths)} changed files as {head}.")]


def push(root: Path) -> list[Item]:
    """Pushes the branch at hand, then asks the remote whether it has the commit."""
    branch = processes.git_line(root, "branch", "--show-current")
    head = processes.git_line(root, "rev-parse", "HEAD")
    names = processes.git_line(root, "remote").split()
    if not head:
        return [Item("There is no commit yet, so git has nothing to push.", "wrong")]
    if not branch:
        fact = "HEAD is detached: the code was not pushed."
        return [Item(fact, "wrong", "Run `git switch -c NAME`, then push again.")]
    if not names:
        fact = "git has no remote: THE CODE IS ONLY ON THIS MACHINE."
        return [Item(fact, "wrong", "Run `git remote add origin URL`, then push again.")]
    name = processes.git_line(root, "config", f"branch.{branch}.remote")
    name = name or ("origin" if "origin" in names else names[0])
    sent = processes.git(root, "push", "--quiet", name, f"HEAD:refs/heads/{branch}")
    if sent.returncode != 0:
        fact = f"`git push` to {name} failed: {processes.last_lines(sent)}."
        return [Item(fact, "wrong", "The code is not saved there. Mend it and push again.")]
    return [_landed(root, name, branch, head)]


def main(paths: list[str] | None = None) -> int:
    """Prints why files of the current folder must not be committed; exit 1 where there are any."""
    refused = refusals(Path.cwd(), sys.argv[1:] if paths is None else paths)
    for item in refused:
        print(item.fact, item.cure)
    return 1 if refused else 0


def _landed(root: Path, name: str, branch: str, head: str) -> Item:
    url = processes.git_line(root, "remote", "get-url", "--push", name)
    listed = processes.git_line(root, "ls-remote", name, f"refs/heads/{branch}")
    if listed.split("\t")[0] != head:
        fact = f"{url} does not show commit {head[:7]} on {branch} after the push."
        return Item(fact, "wrong", "Push again, and look at the remote.")
    fact = f"Commit {head[:7]} is on {branch} of {url}"
    folder = Path(url.removeprefix("file://")).expanduser()
    if not folder.is_absolute():
        return Item(f"{fact} (asked after the push).")
    cure = "Use a remote on another machine."
    if remote.same_disk(folder, root):
        return Item(f"{fact}, a folder: THE CODE IS ONLY ON THIS MACHINE.", "wrong", cure)
    fact = f"{fact}, a folder on another file system, which may or may not outlive this machine."
    return Item(fact, "warning", cure)


def _reason(root: Path, path: str) -> str:
    name = Path(path).name
    if (name == ".env" or name.startswith(".env.")) and name != ".env.example":
        return "it holds accounts and keys"
    if path == ".dvc/config.local" or name in _NEVER:
        return "it is the place for keys that stay on this machine"
    size = (root / path).stat().st_size
    if size > MAX_BYTES:
        return f"it has {size / 1e6:.1f} MB, and data belongs to DVC (`dvc add`)"
    return ""


def _refused(path: str, reason: str) -> Item:
    return Item(f"Not committed: {path}, because {reason}.", "wrong", "Ignore it or move it.")


if __name__ == "__main__":
    raise SystemExit(main())
