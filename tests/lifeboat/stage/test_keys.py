"""Keys: of content, never of a name or an address; of all that a result depends on."""

import importlib
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from importlib.metadata import version
from pathlib import Path
from random import Random
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeboat.stage import units as units_module
from lifeboat.stage.content import Contents
from lifeboat.stage.fingerprint import code_of
from lifeboat.stage.units import Units, kept

PACKAGE = """\
from functools import cache


def make(first, second=2, *more, **named):
    pass


def other(first, second=2, *more, **named):
    pass


@cache
def decorated(first):
    pass


class Maker:
    def __init__(self, content_key):
        self.content_key = content_key

    def make(self, first):
        pass


def nested():
    return lambda first: first


unnamed = lambda first: first  # noqa: E731
"""


@dataclass(frozen=True)
class Frozen:
    a: Any
    b: Any = 0


@dataclass
class Loose:
    a: Any
    b: Any = 0


class Pair(NamedTuple):
    a: Any
    b: Any = 0


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Model:
    def __init__(self, sha256: Any) -> None:
        self.sha256 = sha256

    def content_key(self) -> Any:
        return self.sha256


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A module of a package whose functions may make units."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "planted_keys.py").write_text(PACKAGE)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("planted_keys")
    sys.path.remove(str(folder))
    del sys.modules["planted_keys"]


@pytest.fixture
def units(planted: ModuleType, tmp_path: Path) -> Units:
    return Units(tmp_path, ["planted_keys"])


def digest(value: object) -> bytes:
    return Contents(code_of(("lifeboat",))).digest(value, "inputs")


ALL_DIFFERENT = [
    None, True, 1, 1.0, "1", b"1", 0, 0.0, -0.0, float("nan"), float("inf"), "", [], (), {}, set(),
    [1], (1,), {1}, [[1]], [1, 2], [12], [[1], 2], [1, [2]], ["1"], [True], [1.0], "[1]", [None],
    {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2, "b": 1}, {1: 1}, {"1": 1}, {(1, 2): 1},
    Frozen(1), Frozen(1, 1), Frozen(1.0), Frozen((1, 0)), Frozen(None), Loose(1), Pair(1),
    Colour.RED, Colour.BLUE, Model("a"), Model("b"),
    np.float64(1), np.float32(1), np.int64(1), np.int32(1), np.bool_(True), np.str_("1"),
    np.ones(1), np.ones(2), np.ones((1, 1)), np.ones(()), np.ones(2, np.float32), np.zeros(2),
    np.ones(2, ">f8"), np.array(["a"]), np.array(["a"], dtype=object), np.array(["ab"]),
    np.array(["a", None], dtype=object), np.array(["a", "None"], dtype=object),
    torch.ones(2), torch.ones(2, 1), torch.ones(1, 2), torch.ones(2, dtype=torch.float64),
    torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.float16), torch.tensor(1.0),
    torch.zeros(0), torch.zeros(0, 2), [torch.ones(2)],
]  # fmt: skip


def test_other_values_and_other_types_have_other_digests() -> None:
    found = [digest(value) for value in ALL_DIFFERENT]
    doubled = [ALL_DIFFERENT[i] for i, one in enumerate(found) if found.count(one) > 1]
    assert doubled == []


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ({"a": 1}, OrderedDict(a=1)),
        ({"a": 1}, MappingProxyType({"a": 1})),
        ({"a", "b", "c", "d"}, {"d", "c", "b", "a"}),
        ({1, 2}, frozenset([2, 1])),
        (np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2).reshape(2, 3, order="C").copy("F")),
        (torch.ones(3, 2).T, torch.ones(2, 3)),
        (torch.ones(2), torch.nn.Parameter(torch.ones(2))),
        (np.array(["a", "b"], dtype=object), np.array(["b", "a"], dtype=object)[::-1]),
        (Frozen([1, Frozen(2)]), Frozen([1, Frozen(2)])),
    ],
)
def test_the_same_content_has_the_same_digest(value: object, same: object) -> None:
    assert digest(value) == digest(same)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
nested = st.recursive(
    plain,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.builds(Frozen, inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(nested, nested)
def test_digests_agree_exactly_where_contents_do(one: object, other: object) -> None:
    # repr tells types apart, 0.0 from -0.0, and takes NaN for equal to NaN.
    assert (digest(one) == digest(other)) == (repr(one) == repr(other))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Path("a"), r"inputs is of the type pathlib:\w+: a path is a name; give the content"),
        (object(), "inputs is of the type builtins:object: give a plain value"),
        ([1, {"a": Frozen(Random(1))}], r"inputs\[1\]\['a'\].a is of the type random:Random"),
        ({Frozen(print): 1}, r"inputs\['a key'\].a is of the type builtins:"),
        ({"m": Model("")}, r"inputs\['m'\] is .*Model: its `content_key` must be a text"),
        (Model(3), "its `content_key` must be a text"),
        (Frozen, "inputs is of the type builtins:type"),
        (len, "inputs is of the type builtins:builtin_function_or_method"),
        (torch.nn.Linear(1, 1), r"inputs is of the type torch\.nn\.modules\.linear:Linear"),
        (torch.ones(2).to_sparse(), "inputs is of the type torch:Tensor: its numbers cannot be"),
        (np.array([object()]), "inputs is of the type numpy:ndarray: its elements must be plain"),
        (iter([1]), "inputs is of the type builtins:list_iterator"),
        (range(3), "inputs is of the type builtins:range"),
    ],
)
def test_what_has_no_content_is_refused_with_its_type_and_place(
    value: object, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        digest(value)


def test_a_frozen_dataclass_is_read_once() -> None:
    contents, value = Contents(code_of(("lifeboat",))), Frozen(np.ones(3))
    first = contents.digest([value], "a")
    value.a[0] = 2
    assert contents.digest([value], "a") == first
    assert contents.digest([Loose(value.a)], "a") != contents.digest([Loose(np.ones(3))], "a")
    assert contents.digest([replace(value)], "a") != first


def test_a_key_knows_arguments_by_their_names(units: Units, planted: ModuleType) -> None:
    make = planted.make
    same = [partial(make, 1, second=3), partial(make, first=1, second=3), partial(make, 1, 3)]
    assert len({units.key(one) for one in same}) == 1
    other = [partial(make, 3, 1), partial(make, 1, 3, 4), partial(make, 1, 3, third=4), make]
    other += [partial(planted.other, 1, 3)]
    keys = {units.key(one) for one in [*same, *other]} | {units.key(make, 1, 3)}
    assert len(keys) == 7


def test_a_method_is_keyed_with_its_object_and_a_decorated_function_as_itself(
    units: Units, planted: ModuleType
) -> None:
    keys = {units.key(partial(planted.Maker(name).make, 1)) for name in ("a", "b")}
    assert len(keys | {units.key(partial(planted.decorated, 1))}) == 3


def test_a_job_that_has_no_key_is_refused_before_it_begins(
    units: Units, planted: ModuleType
) -> None:
    with pytest.raises(TypeError, match="first is of the type builtins:object"):
        kept(units, "results/a", partial(planted.make, object()))


def test_who_could_see_more_than_it_is_given_cannot_make_a_unit(
    units: Units, planted: ModuleType
) -> None:
    for make in (planted.nested(), planted.unnamed, lambda: 1, len, planted.Maker):
        with pytest.raises(TypeError, match="has no key of its own: give a function that a module"):
            units.key(make)
    with pytest.raises(TypeError, match="test_keys:digest is not defined in a module of planted_k"):
        units.key(digest)


def test_the_versions_of_libraries_and_of_python_count(
    units: Units, planted: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = units_module._versions()
    assert versions[0].startswith("python 3.") and versions[1] == f"torch {version('torch')}"
    before = units.key(planted.make)
    monkeypatch.setattr(units_module, "_versions", lambda: ("python 3.11", "torch 9.0"))
    assert units.key(planted.make) != before


def test_lifeboat_knows_tensors_without_importing_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lifeboat.stage.units import Units;"
        "units = Units(Path('.'), ['lifeboat']); from lifeboat.stage.shelf import Shelf;"
        "units.key(Shelf.remove, 1); units.get('a', '0' * 64, lambda: {'a': 1});"
        "sys.exit('torch' in sys.modules)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment).returncode == 0
    )
