"""Progress of long work: a bar with rate and time left, or a line now and then without a terminal.

Everything goes to standard error and nothing of it into a file of the study.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

T = TypeVar("T")

_FIRST_LINE_S = 5.0
_LINE_EVERY_S = 30.0

Advance = Callable[[int], None]

_is_silent = False


@contextmanager
def silence() -> Iterator[None]:
    """A context in which nothing is shown: for a part of work whose whole is shown elsewhere."""
    global _is_silent
    before, _is_silent = _is_silent, True
    try:
        yield
    finally:
        _is_silent = before


def track(
    items: Iterable[T], description: str, total: int | None = None, unit: str = "it"
) -> Iterator[T]:
    """The items, one by one, while their progress is shown.

    Args:
        items: what is worked through.
        description: what is done, in a few words.
        total: number of items, where `items` has no length.
        unit: the word for one item, in the plural.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(description, total, unit) as advance:
        for item in items:
            yield item
            advance(1)


def bar(
    description: str,
    total: int | None,
    unit: str = "it",
    detail: Callable[[], str] = lambda: "",
    shown: bool = True,
) -> AbstractContextManager[Advance]:
    """A context whose value is called with the number of units just done.

    Args:
        description: what is done, in a few words.
        total: units in all, or None where that is not known.
        unit: the word for one unit, in the plural.
        detail: asked for more to say, e.g. the bytes written.
        shown: whether anything is shown.
    """
    if not shown or _is_silent:
        return nullcontext(lambda _: None)
    kind = _on_terminal if sys.stderr.isatty() else _in_lines

    def text(done: int, seconds: float) -> str:
        return ", ".join(filter(None, [line(description, done, total, unit, seconds), detail()]))

    return kind(text, total)


def line(description: str, done: int, total: int | None, unit: str, seconds: float) -> str:
    """One line of progress: done, total, rate and time left."""
    rate = done / seconds if seconds > 0 else 0.0
    text = f"{description}: {done:,}"
    if total:
        text += f" of {total:,}"
    text += f" {unit}, {rate:,.3g} {unit}/s" if rate < 1000 else f" {unit}, {rate:,.0f} {unit}/s"
    if not total or done >= total or rate == 0:
        return f"{text}, {_clock(seconds)} so far"
    return f"{text}, {_clock((total - done) / rate)} left"


@contextmanager
def _in_lines(text: Callable[[int, float], str], _total: int | None) -> Iterator[Advance]:
    start = time.monotonic()
    done, next_line = 0, start + _FIRST_LINE_S

    def advance(n: int) -> None:
        nonlocal done, next_line
        done += n
        now = time.monotonic()
        if now >= next_line:
            next_line = now + _LINE_EVERY_S
            print(text(done, now - start), file=sys.stderr, flush=True)

    yield advance
    seconds = time.monotonic() - start
    print(text(done, seconds), file=sys.stderr, flush=True)


@contextmanager
def _on_terminal(text: Callable[[int, float], str], total: int | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    start, done = time.monotonic(), 0
    columns = (BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(text(0, 0.0), total=total)

        def advance(n: int) -> None:
            nonlocal done
            done += n
            said = text(done, time.monotonic() - start)
            shown.update(task, completed=done, description=said)

        yield advance


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
        if minutes >= 60
        else f"{minutes}:{rest:02d}"
    )
