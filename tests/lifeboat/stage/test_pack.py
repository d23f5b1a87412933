"""Packed values: they come back as they were, and a file from elsewhere can do nothing."""

import json
import math
import struct
import sys
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from safetensors import safe_open

from lifeboat.items import Item
from lifeboat.stage.errors import UserError
from lifeboat.stage.names import Types, name_of
from lifeboat.stage.pack import FORMAT, pack, read, unpack, write


@dataclass(frozen=True)
class Measured:
    rows: Any
    null: Any = None


class Place(NamedTuple):
    layer: int
    window: tuple[int, int] | None


@dataclass
class Derived:
    a: int
    twice: int = field(init=False)

    def __post_init__(self) -> None:
        self.twice = 2 * self.a


TYPES = Types((__name__.split(".")[0],))


def packed(value: object, types: Types = TYPES) -> bytes:
    return b"".join(pack(value, types))


def round_trip(value: Any) -> Any:
    return unpack(packed(value), TYPES)


def alike(one: Any, other: Any) -> bool:
    """Whether two values are the same in type and in every bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other) or (one != one and other != other)
    if isinstance(one, np.ndarray | np.generic):
        same = one.dtype == other.dtype and one.shape == other.shape
        if one.dtype == object:
            return same and alike(one.tolist(), other.tolist())
        return same and one.tobytes() == other.tobytes()
    if isinstance(one, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape
        return same and torch.equal(
            one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8)
        )
    if is_dataclass(one):
        return all(alike(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, dict):
        return alike([*one.items()], [*other.items()])
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == other


keys = st.text(max_size=3) | st.integers() | st.tuples(st.text(max_size=3), st.integers())
dtypes = st_numpy.scalar_dtypes() | st_numpy.unicode_string_dtypes() | st_numpy.byte_string_dtypes()
arrays = st_numpy.arrays(dtypes, st_numpy.array_shapes(min_dims=0, min_side=0, max_side=3))
words = st.lists(st.text(max_size=3) | st.none()).map(lambda one: np.array(one, dtype=object))
tensors = st.sampled_from(
    [
        torch.float32,
        torch.float64,
        torch.bfloat16,
        torch.float16,
        torch.int64,
        torch.bool,
        torch.uint8,
    ]
).flatmap(
    lambda dtype: st.lists(st.integers(0, 2), max_size=3).map(lambda s: torch.ones(s, dtype=dtype))
)
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | arrays | words | tensors
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.builds(Measured, inner, inner)
        | st.builds(Place, inner, inner)
    ),
    max_leaves=10,
)


@settings(deadline=None)
@given(values)
def test_a_value_comes_back_bit_for_bit_and_equal_values_are_equal_bytes(value: Any) -> None:
    found = round_trip(value)
    assert alike(found, value)
    assert packed(found) == packed(value)


@pytest.mark.parametrize(
    "value",
    [
        *(math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1, 2**100, "\ud800\0", {}, [], ()),
        *(np.float64(0.1), np.float64("nan"), np.float32(0.1), np.int64(-1), np.bool_(True)),
        *(np.str_("a"), np.datetime64("2020-01-01"), np.array(["a", "bcd"]), np.array("x")),
        *(np.array([["a", None], [1, 0.5]], dtype=object), np.array([], dtype=object)),
        *(np.ones(2, np.complex128), np.arange(3, dtype=">i4"), np.ones((0, 3)), np.array(3.0)),
        *(torch.tensor(1.0), torch.zeros(0, 2), torch.tensor([math.nan, -0.0])),
        {("a", 1): {2: {None: Measured([Place(1, (0, 1))], null=(Place(2, None),))}}},
        [{"p": 0.1, "name": "a", "n": None}] * 3,
    ],
    ids=repr,
)
def test_what_is_easily_lost_is_not(value: Any) -> None:
    assert alike(round_trip(value), value)


def test_views_and_gradients_come_back_as_plain_numbers() -> None:
    array = np.arange(12.0).reshape(3, 4).T[::2]
    assert (round_trip(array) == array).all() and round_trip(array).flags.c_contiguous
    found = round_trip(torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T))
    assert type(found) is torch.Tensor and not found.requires_grad and found.is_contiguous()
    assert found.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_another_program_reads_the_tensors_which_are_aligned(tmp_path: Path) -> None:
    value = {
        "a": np.ones(3, np.int8),
        "b": np.arange(2.0),
        "c": torch.ones(1, dtype=torch.bfloat16),
    }
    path = tmp_path / "unit.safetensors"
    write(path, value, TYPES)
    assert alike(read(path, TYPES), value)
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["format"] == FORMAT
        assert file.get_tensor("1").tolist() == [0, 1] and file.get_tensor("0").tolist() == [
            1,
            1,
            1,
        ]
    n_header = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + n_header])
    assert n_header % 8 == 0
    assert [header[name]["data_offsets"][0] for name in "120"] == [0, 16, 18]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "result is of the type builtins:object, which is not kept"),
        ([1, {"a": (Path("a"),)}], r"result\[1\]\['a'\]\[0\] is of the type pathlib:"),
        ({frozenset(): 1}, "a key of result is of the type builtins:frozenset"),
        (
            Measured(Item("a")),
            r"result\.rows is of the type lifeboat.items:Item, which is not kept",
        ),
        (Derived(1), "result is of the type .*:Derived, which is not kept"),
        (np.array([{}]), "result is a numpy array of object, which is not kept"),
        (np.zeros(1, [("a", "f4")]), "result is a numpy array of .*, which is not kept"),
        (torch.ones(2).to_sparse(), "result is a torch.sparse_coo tensor of torch.float32"),
        (
            torch.ones(2, dtype=torch.complex64),
            "result is a torch.strided tensor of torch.complex64",
        ),
        (len, "result is of the type builtins:builtin_function_or_method"),
        (type("Own", (dict,), {})(), "result is of the type .*Own"),
    ],
)
def test_what_cannot_come_back_as_it_was_is_refused(value: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        packed(value)


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Types:
    """The types of a package that a file may name, beside modules that none may run."""
    folder = tmp_path / "planted_pack"
    folder.mkdir()
    bad = "raise SystemExit('run')\n"
    for name, text in {
        "__init__": "",
        "__main__": bad,
        "fine": (
            "from dataclasses import dataclass\nfrom pathlib import Path\nimport subprocess\n"
            "from planted_pack.other import There\n\n\n"
            "def run(a):\n    raise SystemExit('run')\n\n\n"
            "class Plain:\n    def __init__(self, a):\n        raise SystemExit('run')\n\n\n"
            "@dataclass\nclass Fine:\n    a: int\n\n    def __post_init__(self):\n"
            "        if self.a == 13:\n            raise RuntimeError('13')\n\n"
            "    @dataclass\n    class Inner:\n        a: int\n\n    def f(self):\n        pass\n"
        ),
        "other": "from dataclasses import dataclass\n\n\n@dataclass\nclass There:\n    a: int\n",
    }.items():
        (folder / f"{name}.py").write_text(text)
    (tmp_path / "planted_bad.py").write_text(bad)
    monkeypatch.syspath_prepend(tmp_path)
    return Types(("planted_pack",))


def record(name: str, **values: object) -> dict[str, Any]:
    return {"record": name, "fields": values}


def file_of(structure: object, **others: object) -> bytes:
    metadata = {"format": FORMAT, "structure": json.dumps(structure), **others}
    text = json.dumps({"__metadata__": metadata}).encode()
    return len(text).to_bytes(8, "little") + text


def test_classes_of_our_packages_are_restored(ours: Types) -> None:
    for name in ("planted_pack.fine:Fine", "planted_pack.fine:Fine.Inner"):
        found = unpack(file_of(record(name, a=1)), ours)
        assert found.a == 1 and name_of(type(found)) == name
        assert unpack(packed([found], ours), ours) == [found]


@pytest.mark.parametrize(
    "name",
    [
        "planted_bad:A", "os:system", "subprocess:Popen", "pathlib:Path", "builtins:eval",
        "planted_pack.fine:run", "planted_pack.fine:Plain", "planted_pack.fine:Path",
        "planted_pack.fine:subprocess.Popen", "planted_pack.fine:There", "planted_pack.fine:Fine.f",
        "planted_pack.fine:Fine.__init__", "planted_pack.fine:Fine.__class__", "planted_pack.fine:",
        "planted_pack.__main__:A", "planted_pack.nowhere:A", "planted_pack.fine:Nowhere",
        "planted_pack..fine:Fine", "planted_pack.fine.Fine", "planted_packs.fine:Fine", "",
        "planted_pack.fine:Fine\n", "../planted_bad:A", "planted_pack:fine.Fine",
    ],
)  # fmt: skip
def test_a_file_that_names_anything_else_is_refused(ours: Types, name: str) -> None:
    with pytest.raises(UserError, match="cannot be read as a unit of work.*Remove it"):
        unpack(file_of(record(name, a=1)), ours)
    assert "planted_bad" not in sys.modules and "planted_pack.__main__" not in sys.modules


@pytest.mark.parametrize(
    "structure",
    [
        record("planted_pack.fine:Fine"),
        record("planted_pack.fine:Fine", a=1, b=2),
        record("planted_pack.fine:Fine", a=13),
        {"record": ["planted_pack.fine:Fine"], "fields": {}},
        {"record": "planted_pack.fine:Fine"},
        *({"array": "0"}, {"tensor": "0"}, {"float": "x"}, {"tuple": 1}, {"dict": [[1]]}),
        *({"dict": [[[1], 2]]}, {"pickle": "x"}, {}, {"objects": ["a"], "shape": [10**12]}),
        {"array": "0", "dtype": "O", "shape": [1]},
        json.loads("[" * 900 + "{}" + "]" * 900),
    ],
    ids=lambda one: repr(one)[:60],
)
def test_a_structure_that_fits_nothing_is_refused(ours: Types, structure: object) -> None:
    with pytest.raises(UserError, match="cannot be read as a unit of work"):
        unpack(file_of(structure), ours, "unit.safetensors")


def test_raw_numbers_fit_their_shape_and_hold_no_objects() -> None:
    whole = packed(np.array(["a", "b"]))
    assert unpack(whole, TYPES).tolist() == ["a", "b"]
    for old, new in ((b"<U1", b"|O8"), (b"[2]", b"[9]"), (b"<U1", b"<U9")):
        assert old in whole
        with pytest.raises(UserError, match="cannot be read as a unit of work"):
            unpack(whole.replace(old, new), TYPES)


@pytest.mark.parametrize("cut", [0, 7, 8, 40, -1])
def test_bytes_that_are_no_unit_are_refused(cut: int) -> None:
    with pytest.raises(UserError, match="cannot be read as a unit of work"):
        unpack(packed({"a": np.ones(3)})[:cut], TYPES)


def test_another_format_is_refused() -> None:
    with pytest.raises(UserError, match="its format is 'lifeboat unit 0'"):
        unpack(file_of(1, format="lifeboat unit 0"), TYPES)
