import json

import pytest

from lifeboat.saving import partial
from lifeboat.saving.partial import Part
from lifeboat.stage.errors import UserError

GOOD = {"path": "models/base/a.1.b.safetensors", "bytes": 1, "sha256": "0" * 64, "stage": "x"}


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../../etc/passwd"},
        {"path": "/etc/passwd"},
        {"path": "machine"},
        {"path": "activations/.claims"},
        {"path": "activations/../machine.json"},
        {"path": "models/base/"},
        {"path": "models/.cache/a"},
        {"path": "models//a"},
        {"path": 3},
        {"sha256": "../../x"},
        {"sha256": "0" * 63},
        {"md5": "x"},
        {"bytes": -1},
        {"bytes": True},
        {"stage": None},
        {"extra": 1},
    ],
)
def test_an_index_from_a_stranger_cannot_name_what_is_none_of_its_business(
    change: dict[str, object],
) -> None:
    value = {"format": 2, "machine": "m", "commit": "c", "branch": "main"}
    good = {**value, "parts": [GOOD]}
    assert partial.parse_index(json.dumps(good).encode(), "here").parts == (Part(**GOOD),)
    with pytest.raises(UserError, match="here is no list of unfinished work"):
        partial.parse_index(json.dumps({**value, "parts": [GOOD | change]}).encode(), "here")


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"format": 1}', b"\xff", b'{"format": 2, "parts": {"a": 1}}'],
)
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="no list of unfinished work"):
        partial.parse_index(data, "here")


@pytest.mark.parametrize("name", ["", "../x", 3, None])
def test_the_machine_of_an_index_is_a_plain_name(name: object) -> None:
    value = {"format": 2, "machine": name, "commit": "c", "branch": "main", "parts": []}
    with pytest.raises(UserError, match="no list of unfinished work"):
        partial.parse_index(json.dumps(value).encode(), "here")
