"""What the verbs of the command line share: where they work, how they answer and how they fail."""

import functools
import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from lifeboat import items as reports
from lifeboat import steps
from lifeboat.items import Item
from lifeboat.stage import failures

INTERRUPTED = 75

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of what fails.")]


@dataclass
class State:
    """Where the verbs work, and how they are called.

    Attributes:
        root: the project's folder.
        command: the name of the command line, for what users are told to run.
    """

    root: Path = Path()
    command: str = "lifeboat"


state = State()


def readable(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb all of whose errors end in one paragraph, and an interruption in the code for it.

    It has an option more than the verb: `--debug`, which shows tracebacks.
    """

    @functools.wraps(verb)
    def run(*arguments: Any, debug: bool = False, **options: Any) -> None:
        failures.setting.debug |= debug
        try:
            verb(*arguments, **options)
        except KeyboardInterrupt:
            print("Interrupted. Run the same command again to go on.", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, BrokenPipeError, *steps.ENDINGS):  # a reader that left: typer's matter
            raise
        except BaseException as error:
            raise typer.Exit(_failed(steps.item(error))) from None

    own = inspect.signature(verb)
    keyword = inspect.Parameter.KEYWORD_ONLY
    further = inspect.Parameter("debug", keyword, default=False, annotation=Debug)
    parameters = [*own.parameters.values(), further]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {**verb.__annotations__, "debug": Debug}
    return run


def report(
    command: str, as_json: bool, act: Callable[[], list[Item]], *, plain: bool = False
) -> None:
    """Prints what a verb found, without its secrets; exit code 1 unless all of it is proven.

    Args:
        command: the verb's name.
        as_json: whether one JSON object is printed.
        act: finds it.
        plain: whether the verb lists and checks nothing, so that no fact is marked `ok`.
    """
    if code := tell(command, as_json, act, plain=plain):
        raise typer.Exit(code)


def tell(command: str, as_json: bool, act: Callable[[], list[Item]], *, plain: bool = False) -> int:
    """As `report`; the exit code."""
    try:
        found = act()
    except steps.ENDINGS:
        raise
    except BaseException as error:
        failed = steps.item(error)
        if not as_json:
            return _failed(failed)
        found = [failed]
    if as_json:
        shown = [_redacted(item) for item in found]
        print(json.dumps(reports.as_object(command, shown), indent=2))
    else:
        show(found, plain=plain)
    return 0 if reports.proven(found) else 1


def answer(command: str, as_json: bool, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a verb makes that is no list of facts; with `--json` it is printed, and a failure too.

    Raises:
        typer.Exit: with `--json`, where it fails; without, whatever the verb raises.
    """
    try:
        found = act()
    except steps.ENDINGS:
        raise
    except BaseException as error:
        if not as_json:
            raise
        failed = [_redacted(steps.item(error))]
        print(json.dumps(reports.as_object(command, failed), indent=2))
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps({"ok": True, "command": command} | found, indent=2))
    return found


def _failed(item: Item) -> int:
    item = _redacted(item)
    print(f"error: {item.fact} {item.cure}".rstrip(), file=sys.stderr)
    return 1


def _redacted(item: Item) -> Item:
    from lifeboat.stage.redaction import redact

    return Item(_called(redact(item.fact)), item.verdict, _called(redact(item.cure)))


def _called(text: str) -> str:
    """What is said, with the commands in it as this command line calls them."""
    return text.replace("`lifeboat ", f"`{state.command} ")


def show(found: list[Item], *, plain: bool = False) -> None:
    """Prints facts with their verdicts and cures, without their secrets; `plain` as of `report`."""
    marks = {
        "ok": ("ok     ", "green"),
        "warning": ("warning", "yellow"),
        "wrong": ("WRONG  ", "red"),
    }
    for item in map(_redacted, found):
        word, colour = marks[item.verdict]
        mark = "" if plain and item.verdict == "ok" else f"{typer.style(word, fg=colour)}  "
        typer.echo(f"{mark}{item.fact}")
        if item.cure:
            typer.echo(f"         -> {item.cure}")
