"""params.yaml is read strictly, and what is wrong is told with the nearest right key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from backtracking.runtime import params
from lifeboat import project
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Inner:
    """A nested section."""

    width: int


@dataclass(frozen=True)
class Section:
    """Every kind of value that a section may have."""

    steps: int
    rate: float
    name: str
    mode: Literal["auto", "cpu"]
    layers: tuple[int, ...] | None
    window: tuple[int, int]
    means: bool
    inner: Inner

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError("steps must be 1 or more.")


VALUES = {
    "steps": "3",
    "rate": "1",
    "name": "some",
    "mode": "auto",
    "layers": "null",
    "window": "[-13, 10]",
    "means": "true",
    "inner": "{width: 4}",
}


def save(folder: Path, **changes: str | None) -> Path:
    """A file with one section; a change of None leaves the key out."""
    rows = {key: value for key, value in (VALUES | changes).items() if value is not None}
    path = folder / "params.yaml"
    text = "".join(f"    {key}: {value}\n" for key, value in rows.items())
    path.write_text(f"other: 1\nouter:\n  section:\n{text}")
    return path


def load(path: Path) -> Section:
    return params.load(Section, "outer.section", path)


def test_a_section_becomes_its_dataclass(tmp_path: Path) -> None:
    found = load(save(tmp_path, layers="[0, 2]"))
    expected = Section(3, 1.0, "some", "auto", (0, 2), (-13, 10), True, Inner(4))
    assert found == expected
    assert isinstance(found.rate, float)
    assert load(save(tmp_path)).layers is None
    assert params.load_value(int, "outer.section.steps", tmp_path / "params.yaml") == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stepz": "3"}, ["unknown key `stepz`", "Did you mean `steps`?"]),
        ({"qqqq": "3"}, ["unknown key `qqqq`", "Valid keys: steps, rate"]),
        ({"steps": None}, ["key `steps` is missing", "Add `steps: ...`"]),
        ({"steps": "three"}, ["key `steps` expects int", "'three' (str)"]),
        ({"steps": "1.5"}, ["key `steps` expects int", "1.5 (float)"]),
        ({"steps": "true"}, ["key `steps` expects int", "True (bool)"]),
        ({"steps": "null"}, ["key `steps` expects int", "None"]),
        ({"steps": "0"}, ["steps must be 1 or more"]),
        ({"rate": "fast"}, ["key `rate` expects float"]),
        ({"means": "1"}, ["key `means` expects bool"]),
        ({"mode": "gpu"}, ["key `mode` expects", "'auto', 'cpu'", "'gpu'"]),
        ({"layers": "[0, x]"}, ["key `layers` expects int", "'x'"]),
        ({"layers": "4"}, ["key `layers` expects"]),
        ({"window": "[1, 2, 3]"}, ["key `window` expects 2 values"]),
        ({"inner": "{widht: 4}"}, ["key `inner`", "unknown key `widht`", "`width`"]),
        ({"inner": "4"}, ["key `inner`", "expected keys with values"]),
    ],
)
def test_what_is_wrong_is_told_with_file_section_and_key(
    tmp_path: Path, changes: dict, words: list[str]
) -> None:
    with pytest.raises(UserError) as error:
        load(save(tmp_path, **changes))
    for word in ["params.yaml, section `outer.section`", *words]:
        assert word in str(error.value)


def test_a_missing_section_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"`outer.sectoin` is missing. Did you mean `section`\?"):
        params.load(Section, "outer.sectoin", save(tmp_path))
    with pytest.raises(UserError, match="`other.more` is missing"):
        params.load_value(int, "other.more", save(tmp_path))


def test_a_file_that_is_missing_or_no_yaml_or_no_mapping_is_told_in_one_line(
    tmp_path: Path,
) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match=r"does not exist. Restore it"):
        params.read(path)
    for text, message in (("a: [1", "is not YAML"), ("- 1\n", "expected sections"), ("", "None")):
        path.write_text(text)
        with pytest.raises(UserError, match=message) as error:
            params.read(path)
        assert "\n" not in str(error.value)


def test_a_file_that_changed_is_read_anew_and_what_was_read_can_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a: {b: 1}\n")
    params.read(path)["a"]["b"] = 2
    assert params.read(path) == {"a": {"b": 1}}
    path.write_text("a: {b: 3}\n")
    assert params.read(path) == {"a": {"b": 3}}


@pytest.mark.parametrize("data", [b"seed: 1\n# r\xe9glages\n", b"seed: 1\n\xff: 2\n"])
def test_a_letter_that_is_not_utf_8_is_told_with_its_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"params.yaml, line 2: expected UTF-8, found the byte 0x"):
        params.read(path)
    with pytest.raises(UserError, match="line 2: expected UTF-8"):
        project.read_yaml(path)
