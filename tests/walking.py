"""The steps of a verb, found by looking at a run of it, and the verb again with one that fails.

A step is a function of another module of lifeboat that a verb's own modules call. What every step
returned is kept, so that a verb can be taken through its steps again in no time.
"""

import inspect
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest

import lifeboat

BENEATH = (
    "lifeboat.cli",
    "lifeboat.deadlines",
    "lifeboat.stage.failures",
    "lifeboat.steps",
    "lifeboat.items",
    "lifeboat.stage.redaction",
)
"""What verbs are made of, and no step of theirs."""

OURS = str(Path(lifeboat.__file__).parent)


@dataclass(frozen=True, order=True)
class Step:
    """A function by its module and its name."""

    module: str
    name: str

    @property
    def function(self) -> Callable[..., Any]:
        """The function itself."""
        return getattr(sys.modules[self.module], self.name)

    def __str__(self) -> str:
        return f"{self.module.rpartition('.')[2]}.{self.name}"


@dataclass
class Walk:
    """The steps of a run, in their order, and what each returned, call by call."""

    returned: dict[Step, list[Any]] = field(default_factory=dict)


@contextmanager
def walked(inside: set[str]) -> Iterator[Walk]:
    """The steps that are taken meanwhile, in every thread that begins meanwhile.

    Args:
        inside: names of the verb's own modules.
    """
    walk, is_over = Walk(), threading.Event()

    def look(frame: FrameType, event: str, value: Any) -> None:
        if event != "return" or is_over.is_set() or not frame.f_code.co_filename.startswith(OURS):
            return
        if step := _step(frame, inside):
            walk.returned.setdefault(step, []).append(value)

    threading.setprofile(look)
    sys.setprofile(look)
    try:
        yield walk
    finally:
        is_over.set()
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def _step(frame: FrameType, inside: set[str]) -> Step | None:
    module, code = frame.f_globals.get("__name__", ""), frame.f_code
    caller = frame.f_back.f_globals.get("__name__", "") if frame.f_back else ""
    is_near = caller in inside and module.startswith("lifeboat.") and module not in inside
    if not is_near or module.startswith(BENEATH) or code.co_flags & inspect.CO_GENERATOR:
        return None
    function = getattr(sys.modules[module], code.co_name, None)
    is_step = inspect.isfunction(function) and function.__code__ is code
    return Step(module, code.co_name) if is_step else None


def replay(
    monkeypatch: pytest.MonkeyPatch, walk: Walk, failing: Mapping[Step, BaseException]
) -> list[Step]:
    """Puts what was returned in the place of each step, and errors in that of some.

    Returns:
        the steps that are taken, as it goes on.
    """
    taken: list[Step] = []
    places: dict[int, list[tuple[ModuleType, str]]]
    places = {id(step.function): [] for step in walk.returned}
    for module in [sys.modules[name] for name in list(sys.modules) if name[:8] == "lifeboat"]:
        for attribute, value in list(vars(module).items()):
            if (found := places.get(id(value))) is not None:
                found.append((module, attribute))
    for step, values in walk.returned.items():
        left = iter(values)

        def again(
            *_arguments: Any,
            _step: Step = step,
            _left: Iterator[Any] = left,
            _last: Any = values[-1],
            **_options: Any,
        ) -> Any:
            taken.append(_step)
            if _step in failing:
                raise failing[_step]
            return next(_left, _last)

        for module, attribute in places[id(step.function)]:
            monkeypatch.setattr(module, attribute, again)
    return taken
