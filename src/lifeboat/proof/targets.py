"""What a user means by TARGET: a stage, an out, a folder of outs, or a path inside an out."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

from lifeboat.proof.expected import Expected, Object, Out
from lifeboat.stage.errors import UserError


def select(root: Path, found: Expected, targets: list[str]) -> Callable[[Object], bool]:
    """Whether an object belongs to one of the targets; every object does where there are none.

    Raises:
        UserError: for a target that is none, naming the nearest that is, or why not all are known.
    """
    for target in targets:
        if not any(touches(out, root, [target]) for out in found.outs):
            raise UserError(found.problems[0]) if found.problems else _unknown(target, found.outs)
    wanted = [_plain(root, target) for target in targets]
    return lambda object_: (
        not wanted or any(_belongs(object_.stage, object_.path, path) for path in wanted)
    )


def touches(out: Out, root: Path, targets: list[str]) -> bool:
    """Whether an out holds anything of the targets."""
    wanted = [_plain(root, target) for target in targets]
    return not wanted or any(
        _belongs(out.stage, out.path, path) or is_in(path, out.path) for path in wanted
    )


def _unknown(target: str, outs: tuple[Out, ...]) -> UserError:
    names = sorted({out.stage for out in outs} | {out.path for out in outs})
    near = difflib.get_close_matches(target, names, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}."
    return UserError(f"{target!r} is no stage and no out of the pipeline;", hint)


def _belongs(stage: str, path: str, wanted: str) -> bool:
    """Whether something of a stage at a path is what was asked for (`extract` is all its keys)."""
    return wanted in (stage, stage.partition("@")[0]) or path == wanted or is_in(path, wanted)


def is_in(path: str, folder: str) -> bool:
    """Whether a path is inside a folder, by their names."""
    return path.startswith(f"{folder}/")


def _plain(root: Path, target: str) -> str:
    path = os.path.relpath(target, root) if os.path.isabs(target) else os.path.normpath(target)
    return path.replace(os.sep, "/")
