"""Command lines of `backtracking` in pages, parsed as the real one does, and nothing run."""

import re
import shlex
from pathlib import Path
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


ENDS = {"&", "&&", "|", "||", ";", ")", ";;"}


def blocks_of(page: str) -> list[str]:
    """The shell of a page."""
    return re.findall(r"(?ms)^```bash\n(.*?)^```$", page)


def spans_of(page: str) -> list[str]:
    """What stands in a page's lines as code."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```$", "", page))


def commands(text: str) -> list[list[str]]:
    """The words behind `backtracking` of every command in some shell, up to the command's end."""
    found: list[list[str]] = []
    whole = text.replace("\\\n", " ")
    for line in (line for line in whole.splitlines() if "backtracking" in line):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        words = list(lexer)
        for at, word in enumerate(words):
            if Path(word).name == "backtracking":
                end = next((n for n in range(at, len(words)) if words[n] in ENDS), len(words))
                found.append(words[at + 1 : end])
    return [words for words in found if words]
