"""The verbs that save work, their options, and what they answer. Nothing heavy until they run."""

from typing import Annotated

import typer

from backtracking.operations.items import Item
from backtracking.verbs import AsJson, report, state


def verify(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="TARGET", help="A stage, an out, or a path inside one; else all."),
    ] = None,
    remote: Annotated[
        str | None, typer.Option("--remote", "-r", help="Name of a DVC remote; else the default.")
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read and hash every object.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove that the remote holds what HEAD and the workspace need; DVC's word is not asked for.

    Every object that is missing or wrong is named, with stage and path. Exit 0 only if something is
    expected and all of it is there.
    """

    def look() -> list[Item]:
        from backtracking.operations import verify

        return verify.verify(state.root, targets, remote, deep=deep)

    report("verify", as_json, look)


def restore(
    remote: Annotated[
        str | None, typer.Option("--remote", "-r", help="Name of a DVC remote; else the default.")
    ] = None,
    no_wip: Annotated[
        bool, typer.Option("--no-wip", help="Leave unfinished work of the wip/ branch there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring back what was saved, say which stages will run and how long, and the next command.

    For a fresh clone on a new machine, and harmless anywhere else: no change of yours is
    overwritten. Exit 0 only if all that was looked for came back whole.
    """

    def bring() -> list[Item]:
        from backtracking.operations import restore

        return restore.restore(state.root, take_wip=not no_wip, remote=remote)

    report("restore", as_json, bring)
