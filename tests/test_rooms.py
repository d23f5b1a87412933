"""The rooms of the house: who may import whom, and that nobody goes round in a circle."""

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import beartype
import checked
import jaxtyping
import numpy as np
import pytest
from beartype.roar import BeartypeException
from closure import SOURCE, imports_of
from jaxtyping import Float

from backtracking.domains.organism import grammar, solver
from backtracking.models.sampling import Sampling

STUDY = SOURCE / "backtracking"
MAY_IMPORT = {
    "statistics": {"lifeboat.stage", "records"},
    "runtime": {"lifeboat.stage", "lifeboat"},
    "records": {"lifeboat.stage"},
    "labels": {"lifeboat.stage", "lifeboat", "records", "runtime", "statistics"},
    "models": {"lifeboat.stage", "lifeboat", "records", "runtime"},
    "activations": {"lifeboat.stage", "records"},
    "domains": {"lifeboat.stage", "runtime", "records", "labels", "models"},
    "extraction": {"lifeboat.stage", "lifeboat", "runtime", "activations", "models", "records"},
    "directions": {
        "lifeboat.stage", "activations", "models", "records", "statistics", "labels",
    },
    "probing": {"lifeboat.stage", "runtime", "activations", "models", "records", "statistics"},
    "transitions": {
        "lifeboat.stage", "runtime", "labels", "activations", "models", "records", "statistics",
    },
    "interventions": {"lifeboat.stage", "runtime", "directions", "models", "records"},
    "belief": {
        "lifeboat.stage", "lifeboat", "runtime", "activations", "directions", "effects", "models",
        "records", "statistics",
    },
    "effects": {"lifeboat.stage", "labels", "records", "statistics"},
    "claims": {"effects", "records", "statistics"},
    "real_traces": {
        "lifeboat.stage", "lifeboat", "figures", "labels", "records", "statistics", "transitions",
    },
    "report": {"lifeboat.stage", "lifeboat", "claims", "models", "records"},
    "figures": {"lifeboat.stage", "labels", "statistics", "claims", "records", "report"},
    "view": {"lifeboat.stage", "lifeboat", "labels", "records"},
}  # fmt: skip
"""Rooms that each room may import, itself included by right; stages and cli.py may import all."""


def rooms_of(path: Path) -> set[str]:
    """Rooms that a file imports, its own left out."""
    found = set()
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "lifeboat":
            found.add("lifeboat.stage" if parts[1:2] == ["stage"] else "lifeboat")
        elif parts[0] == "backtracking" and len(parts) > 1 and (STUDY / parts[1]).is_dir():
            found.add(parts[1])
    return found


def files_of(room: str) -> list[Path]:
    return sorted((STUDY / room).rglob("*.py"))


def test_the_root_holds_nothing_but_rooms_and_the_command_line() -> None:
    files = {path.name for path in STUDY.iterdir() if path.suffix == ".py"}
    assert files == {"__init__.py", "cli.py"}
    rooms = {path.name for path in STUDY.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert rooms == {*MAY_IMPORT, "stages"}


@pytest.mark.parametrize("room", [*MAY_IMPORT, "stages"])
def test_a_room_says_in_a_sentence_or_two_what_it_is(room: str) -> None:
    charter = ast.get_docstring(ast.parse((STUDY / room / "__init__.py").read_text()))
    assert charter and len(charter.split("\n\n")[0]) < 300


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_the_table_allows(room: str) -> None:
    wrong = {
        f"{path.relative_to(SOURCE)} -> {other}"
        for path in files_of(room)
        for other in rooms_of(path) - {room} - MAY_IMPORT[room]
    }
    assert wrong == set()


def test_every_shape_in_a_signature_is_checked_when_the_tests_run(
    request: pytest.FixtureRequest,
) -> None:
    checked = str(request.config.getoption("jaxtyping_packages")).split(",")[:-1]
    for path in sorted(SOURCE.rglob("*.py")):
        if "from jaxtyping import" in path.read_text():
            module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
            assert any(f"{module}.".startswith(f"{name}.") for name in checked), module


def test_types_are_checked_with_shapes_and_without() -> None:
    check = checked.jaxtyped(typechecker=beartype.beartype)

    @check
    def plain(number: int) -> str:
        return "" if number else number  # type: ignore[return-value]

    @check
    def alike(one: Float[np.ndarray, " n"], many: Sequence[Float[np.ndarray, " n"]]) -> None:
        assert len(one) and len(many)

    @check
    @dataclass
    class Plain:
        number: int

    @check
    @dataclass
    class Shaped:
        one: Float[np.ndarray, " n"]
        other: Float[np.ndarray, " n"]

    def made(hint: type) -> tuple[Callable[..., Any], Callable[..., Any]]:
        @check
        def same(number: int, more: int = 1) -> int:
            return number + more if hint is int else hint(number)

        @check
        def other(value: hint) -> hint:  # type: ignore[valid-type]
            return value

        return same, other

    two, three = np.zeros(2), np.zeros(3)
    assert plain(1) == "" and Plain(1).number == len(Shaped(two, two).one) - 1
    alike(two, [two])
    (same, whole), (text, letters) = made(int), made(str)
    assert (same(1), same(1, more=3), whole(1), letters("1")) == (2, 4, 1, "1")
    wrong: list[Callable[[], object]] = [
        *(lambda: plain(0), lambda: plain("1")),  # type: ignore[arg-type]
        *(lambda: alike(two, [three]), lambda: Shaped(two, three)),
        lambda: Plain("1"),  # type: ignore[arg-type]
        *(lambda: same("1"), lambda: text(1), lambda: whole("1"), lambda: letters(1)),
    ]
    for call in wrong:
        with pytest.raises((BeartypeException, jaxtyping.TypeCheckError)):
            call()
    with pytest.raises(BeartypeException):  # and so it is in what is under test
        Sampling("0", 0.0, 1)  # type: ignore[arg-type]


def test_nothing_imports_a_stage_but_a_stage() -> None:
    stages = [path for room in MAY_IMPORT for path in files_of(room) if "stages" in rooms_of(path)]
    assert stages == []


def test_lifeboat_imports_nothing_of_the_study() -> None:
    named = {
        path.relative_to(SOURCE).as_posix()
        for path in (SOURCE / "lifeboat").rglob("*.py")
        if any(name.split(".")[0] == "backtracking" for name in imports_of(path))
    }
    assert named == set()


def test_the_table_has_no_circle() -> None:
    left = {room: others - {"lifeboat", "lifeboat.stage"} for room, others in MAY_IMPORT.items()}
    while left:
        free = [room for room, others in left.items() if not others & set(left)]
        assert free, f"a circle among {sorted(left)}"
        for room in free:
            del left[room]


def test_no_module_imports_itself_through_others() -> None:
    """Circles between files, imports inside of functions included."""
    modules = {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in SOURCE.rglob("*.py")
    }
    left = {name: set(imports_of(path)) & set(modules) - {name} for name, path in modules.items()}
    left = {  # a package is entered with each of its modules, and says nothing by itself
        name: {one for one in found if modules[one].name != "__init__.py"}
        for name, found in left.items()
    }
    while left:
        free = [name for name, found in left.items() if not found & set(left)]
        assert free, f"a circle among {sorted(left)}"
        for name in free:
            del left[name]


KINDS = frozenset(solver.KINDS) - {"over", "solved"}
"""Kinds of the organism that are no words of the code: none of its texts may hold one."""

SAID = KINDS | {"over", "Wait", "Undo", "Hmm", "No", "Compare", "Check", "fine"}
"""Kinds and words of the organism: no text may be one."""

HOMONYMS = frozenset(
    {"target", "start", "left", "total", "check", "numbers", "try", "goal", "stop", "hmm"}
)
"""Forms of the organism whose names are words of the code: a model stops, an HMM is fitted."""


def texts_of(path: Path) -> list[str]:
    """String constants of a file that are no docstrings."""
    tree = ast.parse(path.read_text())
    prose = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose
    ]


@pytest.mark.parametrize("room", [*sorted(set(MAY_IMPORT) - {"domains"}), "stages"])
def test_no_kind_form_or_word_of_the_organism_stands_outside_its_domain(room: str) -> None:
    forms = set(grammar.STATE_BY_FORM) - HOMONYMS
    found = {
        f"{path.relative_to(SOURCE)}: {text!r}"
        for path in files_of(room)
        for text in texts_of(path)
        if text in SAID | forms or set(re.findall(r"\w+", text)) & KINDS
    }
    assert found == set()
