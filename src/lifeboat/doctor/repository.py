"""git: a name to commit with, a remote, and whether that answers now."""

from pathlib import Path
from urllib.parse import urlsplit

from lifeboat import deadlines, processes
from lifeboat.deadlines import Deadline
from lifeboat.git import commit, index, lock_file
from lifeboat.items import Item, some
from lifeboat.remotes import remote
from lifeboat.stage.errors import UserError

_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=yes",
}
"""Nobody is asked for a password, and no unknown host is trusted."""

REQUIRED = ("dvc.yaml", ".dvc/config")
"""What DVC reads of every project; most have a params.yaml, too."""


def items(root: Path, deadline: Deadline) -> list[Item]:
    """Whether git could commit here, where it would push, and whether that answers in time."""
    try:
        processes.require_repository(root)
    except UserError as error:
        return [Item(str(error), "wrong", "DVC and the snapshots need its history.")]
    return [
        _identity(root),
        *_remote_items(root, deadline),
        *index.unreadable(root, "wrong"),
        pipeline_item(root),
        *ending_items(root),
    ]


def pipeline_item(root: Path) -> Item:
    """Whether this folder has what `dvc repro` needs."""
    wanted = [*REQUIRED, *processes.git_line(root, "ls-files", "--", "params.yaml").split()]
    if missing := [name for name in wanted if not (root / name).is_file()]:
        cure = "Run `git checkout -- " + " ".join(missing) + "`."
        return Item(f"{', '.join(missing)} missing: the pipeline cannot run.", "wrong", cure)
    try:
        lock_file.require_merged(root)
    except UserError as error:
        return Item(str(error), "wrong")
    return Item("The pipeline and DVC's configuration are there.")


def ending_items(root: Path) -> list[Item]:
    """Whether git has changed the ends of lines, and so the hashes of what stages depend on.

    Nothing is said where it has not, or where the project itself asks for it (`eol=crlf`).
    """
    listed = processes.git(root, "ls-files", "--eol", "-z").stdout.split("\0")
    rows = [line.partition("\t") for line in listed if line.startswith("i/lf")]
    changed = [path for facts, _, path in rows if " w/crlf" in facts and "eol=crlf" not in facts]
    if not changed:
        return []
    fact = (
        f"{len(changed)} files here end their lines in CRLF, and in git in LF ({some(changed)}): "
    )
    cure = "Commit what you have changed; then `git config core.autocrlf false`, "
    cure += "`git rm -rq --cached .` and `git reset -q --hard`. Or clone anew with it set."
    return [
        Item(f"{fact}stages that depend on them run again, and scripts may not run.", "wrong", cure)
    ]


def push_url(root: Path) -> str:
    """Address that the branch at hand is pushed to, empty where there is none."""
    return commit.push_url(root, commit.remote_name(root))


def _identity(root: Path) -> Item:
    who = processes.git(root, "var", "GIT_COMMITTER_IDENT")
    if who.returncode == 0:
        return Item(f"git commits as {who.stdout.rsplit(' ', 2)[0].strip()}.")
    cure = 'Run `git config user.name "..."` and `git config user.email ...`.'
    fact = "git has no name and address to commit with: `lifeboat push` cannot commit."
    return Item(fact, "warning", cure)


def _remote_items(root: Path, deadline: Deadline) -> list[Item]:
    name, url = commit.remote_name(root), push_url(root)
    if not url:
        cure = "Run `git remote add origin URL`, then `lifeboat push`."
        fact = "git has no remote: the code and its history are ONLY ON THIS MACHINE."
        return [Item(fact, "wrong", cure)]
    return [_place(root, name, url), _reached(root, name, url, deadline)]


def _place(root: Path, name: str, url: str) -> Item:
    folder = remote.git_folder(url, root)
    if folder and remote.same_disk(folder, root):
        cure = "Use a remote on another machine."
        return Item(f"git's remote `{name}` is on THIS MACHINE: {url}.", "warning", cure)
    return Item(f"git's remote `{name}` is {url}.")


def _reached(root: Path, name: str, url: str, deadline: Deadline) -> Item:
    """Asks for the remote's branches; that one may push there is not known before a push."""
    seconds = deadline.left
    command = ["git", "ls-remote", "--heads", url]
    asked = deadlines.call(command, root, deadline, _QUIET)
    if asked.returncode == 0:
        return Item(f"git's remote `{name}` answers (asked for its branches; nothing was pushed).")
    if asked.returncode == deadlines.TIMED_OUT:
        fact = f"git's remote `{name}` did not answer within {seconds:.0f} s."
        return Item(fact, "wrong", "Check the network; `git ls-remote` tries it again.")
    fact = f"git's remote `{name}` does not let us in: {processes.last_lines(asked)}."
    return Item(fact, "wrong", _cure(url))


def _cure(url: str) -> str:
    if urlsplit(url).scheme in ("http", "https"):
        return (
            "Give git a token for it (`git credential`, or `gh auth login`), or mend its address."
        )
    if "@" in url or url.startswith("ssh:"):
        return "Try `ssh -T HOST`: the key must be loaded and the host known. Or mend its address."
    return "Mend its address with `git remote set-url`."
