"""Command lines of `backtracking` parsed as the real one does, and nothing run."""

from typing import Any

import typer

from backtracking import cli


def parse(words: list[str]) -> None:
    """Parses the words behind `backtracking`.

    Raises:
        Exception: click's own, where there is no such verb or option.
    """
    command: Any = typer.main.get_command(cli.app)
    context: Any = command.make_context("backtracking", list(words))
    while hasattr(command, "resolve_command"):
        rest = [*getattr(context, "_protected_args", []), *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
