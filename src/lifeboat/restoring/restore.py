"""`lifeboat restore`: a new machine goes on where another one was stopped."""

import os
from collections.abc import Iterable
from pathlib import Path

from lifeboat import processes, project
from lifeboat.doctor import repository
from lifeboat.git import taking, wip
from lifeboat.items import Item
from lifeboat.proof import expected
from lifeboat.proof.expected import Out
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.restoring import fetching, remaining, salvage
from lifeboat.restoring.remaining import Remaining
from lifeboat.running import stage_seconds
from lifeboat.stage.errors import UserError
from lifeboat.steps import Steps


def restore(root: Path, *, take_wip: bool = True, remote: str | None = None) -> list[Item]:
    """Brings back what was saved, and says what is left to compute, and the next command.

    In order: the branch and its unfinished work from git, finished data, and parts of the stages
    that will run. Each brings what it can, whatever became of the others. Nothing of the user's is
    overwritten, and what is here already is not fetched again.

    Args:
        root: the project's folder, a fresh clone or not.
        take_wip: whether unfinished work of the branch is taken into the working tree.
        remote: name of a DVC remote, the default one where None.

    Raises:
        UserError: where `root` is not a git repository, or nothing is checked out in it.
    """
    steps = Steps()
    steps.require("Asking git where this checkout stands", lambda: _require_files(root))
    steps.add("Asking git's remote", lambda: taking.update(root))
    if take_wip:
        steps.add("Taking unfinished work", lambda: taking.take(root))
    bucket = steps.attempt("Opening DVC's remote", lambda: open_bucket(root, remote))
    data = bucket and steps.attempt("Bringing data back", lambda: _bring_data(root, bucket))
    again = "Mend that, then restore again."
    steps.items += [Item("NO DATA CAME BACK.", "wrong", again)] if data is None else data
    found = steps.attempt("Asking DVC which stages run", lambda: remaining.remaining(root))
    if bucket:
        steps.add("Bringing parts back", lambda: _bring_parts(root, bucket, found))
    steps.add("The ends of lines", lambda: repository.ending_items(root))
    if found:
        steps.add("The stages' times", lambda: remaining.told(found, stage_seconds.known(root)))
        fact = "Next: `lifeboat reproduce`, which is `dvc --wait-for-lock repro`."
        steps.items.append(Item(fact))
    return steps.items


def _bring_parts(root: Path, bucket: Bucket, found: Remaining | None) -> list[Item]:
    """Parts of the stages that will run; of all where that is not known."""
    stages = {*found.certain, *found.possible} if found else None
    branch = wip.head(root).branch
    return salvage.told(salvage.salvage(project.store(root), bucket, branch, stages))


def _require_files(root: Path) -> None:
    """Refuses a clone that has no files, as after `--no-checkout` or of a branch that is gone."""
    here = wip.head(root)
    if (root / "dvc.yaml").exists():
        return
    if not here.commit:
        remotes = processes.git_line(root, "branch", "--remotes", "--format=%(refname:lstrip=3)")
        names = [name for name in remotes.split() if name != "HEAD"]
        known = f"; there are {', '.join(names)}" if names else ""
        fact = f"No commit is checked out here (the branch {here.branch!r} has none)."
        raise UserError(fact, f"Run `git switch BRANCH`{known}, then restore again.")
    if processes.git_id(root, "HEAD:./dvc.yaml"):
        fact = f"No files of commit {here.commit[:7]} are here, dvc.yaml not either."
        raise UserError(fact, f"Run `git checkout {here.branch or here.commit[:7]} .`, then again.")


def _bring_data(root: Path, bucket: Bucket) -> list[Item]:
    wanted = expected.read(root)
    items = [Item(problem, "wrong") for problem in wanted.problems]
    fetched = fetching.fetch(wanted, bucket)
    if fetched.whole or fetched.losses or not wanted.problems:
        items += fetching.told(fetched, bucket.url)
    return items + check_out(root, fetched.whole)


def check_out(root: Path, outs: Iterable[Out]) -> list[Item]:
    """Links outs that are whole in the cache into the workspace, and says which it could not.

    An out in the workspace that has anything that is in no cache is left as it is.
    """
    # A .dvc file is named itself: DVC's walk may leave it out.
    targets = {out.path: out.stage if out.stage.endswith(".dvc") else out.path for out in outs}
    absent = [target for path, target in targets.items() if not os.path.lexists(root / path)]
    present = [target for path, target in targets.items() if os.path.lexists(root / path)]
    return [*_check_out(root, absent), *_check_out(root, present)]


def _check_out(root: Path, paths: list[str]) -> list[Item]:
    """One `dvc checkout` for all, and where that is refused one for each."""
    if not paths:
        return []
    # Beside dvc.yaml, DVC would read it and dvc.lock anew for every target: is one a stage's name?
    inside = root / ".dvc"
    folder, up = (root, "") if inside.is_symlink() else (inside, "../")
    targets = [f"{up}{path}" for path in paths]
    done = processes.dvc(folder, "--wait-for-lock", "checkout", *targets)
    if done.returncode == 0:
        return []
    if len(paths) > 1:
        return [item for path in paths for item in _check_out(root, [path])]
    if "unsaved files" in done.stderr:
        fact = (
            f"`{paths[0]}` was left as it is: it has files that are neither saved nor in dvc.lock."
        )
        cure = f"If they are not needed: `dvc checkout --force {paths[0]}`."
        return [Item(fact, "warning", cure)]
    fact = f"`dvc checkout {paths[0]}` failed: {processes.last_lines(done)}."
    return [Item(fact, "wrong", "Mend that, then run `lifeboat restore` again.")]
