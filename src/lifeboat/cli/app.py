"""The command line `lifeboat VERB`, and its verbs for the command line of a project.

Exit codes: 0 proven, 1 not, 2 wrong use, 75 interrupted and resumable.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from lifeboat import processes, project, surroundings
from lifeboat.cli import commands
from lifeboat.cli.verbs import readable, state
from lifeboat.stage import failures
from lifeboat.stage.errors import UserError

_VERBS: tuple[Callable[..., None], ...] = (
    commands.doctor,
    commands.snapshot,
    commands.push,
    commands.verify,
    commands.restore,
    commands.backup,
    commands.watch,
)


def add_verbs(app: typer.Typer) -> dict[str, typer.Typer]:
    """Gives a command line all verbs of this one; returns the groups, which may be given more."""
    for verb in _VERBS:
        app.command()(readable(verb))
    app.command("log")(readable(commands.log_entry))
    app.command(context_settings={"ignore_unknown_options": True})(readable(commands.reproduce))
    remote = typer.Typer(help="Where DVC sends data.", no_args_is_help=True)
    remote.command("set")(readable(commands.remote_set))
    store = typer.Typer(help="The store of kept pieces of outs.", no_args_is_help=True)
    store.command("prune")(readable(commands.store_prune))
    groups = {"remote": remote, "store": store}
    for name, inner in groups.items():
        app.add_typer(inner, name=name)
    return groups


def start(root: Path | None, command: str) -> None:
    """Sets where the verbs work and how they are called, and what this process needs around it.

    What sends git to another repository is taken away: DVC asks git within this process, too.

    Raises:
        UserError: where the folder that the process is in has been removed.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise UserError("The folder that you are in is no more.", "Run `cd` to one.") from None
    state.root, state.command = (root or project.nearest(here)).resolve(), command
    failures.setting.root = state.root
    surroundings.settle(state.root)
    processes.forget_other_repositories(os.environ)


app = typer.Typer(
    help="Work on a DVC project that outlives its machine: check it, run it, save it, prove it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
add_verbs(app)


@app.callback()
@readable
def _everywhere(
    root: Annotated[
        Path | None, typer.Option(help="The project's folder; else the one that you are in.")
    ] = None,
) -> None:
    start(root, "lifeboat")


def run(app: typer.Typer, name: str, arguments: list[str] | None) -> None:
    """Runs a verb of a command line and exits with its code.

    Raises:
        SystemExit: always.
    """
    if arguments is None:
        surroundings.begin_again()
    app(arguments, prog_name=name)


def main(arguments: list[str] | None = None) -> None:
    """Runs a verb and exits with its code.

    Raises:
        SystemExit: always.
    """
    run(app, "lifeboat", arguments)
