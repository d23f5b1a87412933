"""Fingerprints of code: they change with what is computed, and with nothing else."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lifeboat.stage.content import Contents
from lifeboat.stage.errors import UserError
from lifeboat.stage.fingerprint import Code

FILES = {
    "__init__.py": '"""Root."""\n',
    "deep/__init__.py": "",
    "deep/numbers.py": "SCALE = 3\n",
    "deep/beside.py": "from . import numbers\nfrom .numbers import SCALE\n",
    "deep/inner/__init__.py": "from ...above import ABOVE\n",
    "deep/inner/leaf.py": "from .. import beside\n",
    "above.py": "ABOVE = 1\n",
    "late.py": "def f():\n    import orchard.deep.numbers as n\n    return n.SCALE\n",
    "typed.py": (
        "from typing import TYPE_CHECKING\n\n"
        "if TYPE_CHECKING:\n    from orchard.above import ABOVE\n"
    ),
    "alone.py": "import os.path\n\n\ndef g(x):\n    return os.path.join(x, 'orchard.above')\n",
}
MODULES = {
    "orchard", "orchard.deep", "orchard.deep.numbers", "orchard.deep.beside", "orchard.deep.inner",
    "orchard.deep.inner.leaf", "orchard.above", "orchard.late", "orchard.typed", "orchard.alone",
}  # fmt: skip

Edit = Callable[[str, str], set[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "orchard" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "orchard"


@pytest.fixture
def edit(folder: Path) -> Edit:
    """Writes a file anew, and says of which modules the fingerprint changed by it."""

    def run(name: str, text: str) -> set[str]:
        before = Code(["orchard"])
        (folder / name).write_text(text)
        after = Code(["orchard"])
        return {one for one in MODULES if before.fingerprint(one) != after.fingerprint(one)}

    return run


def test_a_closure_is_of_ours_with_packages_and_imports_inside_functions(folder: Path) -> None:
    code = Code(["orchard"])
    assert {one for one in MODULES if one in code} == MODULES
    deep = {"orchard", "orchard.deep", "orchard.deep.numbers"}
    assert code.closure("orchard.late") == deep | {"orchard.late"}
    assert code.closure("orchard.typed") == {"orchard", "orchard.typed", "orchard.above"}
    assert code.closure("orchard.alone") == {"orchard", "orchard.alone"}
    assert code.closure("orchard.deep.inner.leaf") == MODULES - {
        *("orchard.late", "orchard.typed", "orchard.alone")
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "deep/numbers.py",
            '"""Said."""\n\n# and noted\nSCALE = (\n    3\n)\n"""What scales."""\n',
        ),
        ("above.py", "ABOVE=1 # more\n"),
        (
            "late.py",
            'def f():\n    """Said."""\n    import orchard.deep.numbers as n\n'
            "    # now\n    return n.SCALE\n",
        ),
    ],
)
def test_words_and_layout_change_no_fingerprint(edit: Edit, name: str, text: str) -> None:
    assert edit(name, text) == set()


def test_a_constant_changes_those_that_import_it_and_no_other(edit: Edit) -> None:
    leaf = "orchard.deep.inner.leaf"
    users = {"orchard.deep.beside", "orchard.deep.numbers", "orchard.late", leaf}
    assert edit("deep/numbers.py", "SCALE = 4\n") == users
    assert edit("above.py", "ABOVE = 2\n") == {
        *("orchard.above", "orchard.typed", "orchard.deep.inner", leaf)
    }
    assert edit("alone.py", "def g(x):\n    return x\n") == {"orchard.alone"}
    assert edit("__init__.py", "import os\n") == MODULES


@pytest.mark.parametrize(
    "text", ["SCALE = 3.0\n", "SCALE = True\n", "SCALE = '3'\n", "OTHER = 3\n"]
)
def test_little_things_count(edit: Edit, text: str) -> None:
    assert "orchard.late" in edit("deep/numbers.py", text)


def test_a_text_that_is_used_is_no_docstring(edit: Edit) -> None:
    assert edit("above.py", 'ABOVE = "one"\n') and edit("above.py", 'ABOVE = "two"\n')


def test_a_file_that_is_edited_while_work_goes_on_changes_no_key_of_it(folder: Path) -> None:
    code, expected = Code(["orchard"]), Code(["orchard"]).fingerprint("orchard.late")
    (folder / "deep" / "numbers.py").write_text("SCALE = 4\n")
    assert code.fingerprint("orchard.late") == expected


def test_a_module_alone_is_a_package_too_and_nothing_of_ours_is_imported(folder: Path) -> None:
    (folder.parent / "planted_alone.py").write_text("raise SystemExit('imported')\n")
    code = Code(["planted_alone", "orchard"])
    assert code.closure("planted_alone") == {"planted_alone"}
    assert "orchard" not in sys.modules
    with pytest.raises(UserError, match="There is no package 'planted_nowhere' here"):
        Code(["planted_nowhere"])


def test_the_code_behind_an_inputs_methods_counts_and_what_only_checks_does_not(
    folder: Path,
) -> None:
    (folder / "above.py").write_text(
        "from dataclasses import dataclass\nfrom enum import Enum\n"
        "from typing import NamedTuple\n\n\n"
        "@dataclass(frozen=True, order=True)\nclass Params:\n    n: int\n\n"
        "    def __post_init__(self):\n        assert self.n\n\n\n"
        "class Pair(NamedTuple):\n    n: int\n\n\nclass Colour(Enum):\n    RED = 1\n\n\n"
        "class Judge(Params):\n    def label(self):\n        return 'a'\n"
    )
    digests = "Contents(Code(['orchard'])).digest(above.{}, 'x').hex()"
    script = (
        "from orchard import above; from lifeboat.stage.content import Contents;"
        "from lifeboat.stage.fingerprint import Code;"
        + "".join(
            f"print({digests.format(one)});"
            for one in ("Params(1)", "Pair(1)", "Colour.RED", "Judge(1)")
        )
    )

    def run() -> list[str]:
        paths = {"PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=paths
        )
        return done.stdout.split()

    before = run()
    text = (folder / "above.py").read_text()
    (folder / "above.py").write_text(text.replace("'a'", "'b'"))
    assert [one == other for one, other in zip(before, run(), strict=True)] == [True] * 3 + [False]


@dataclass(frozen=True)
class Foreign:
    """A class of no package of ours."""

    n: int

    def twice(self) -> int:
        """What nobody asks for."""
        return 2 * self.n


def test_classes_of_others_are_known_by_name() -> None:
    assert Contents(Code(["lifeboat"])).digest(Foreign(1), "x")
