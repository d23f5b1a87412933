"""Directions are found by their places; nothing is told from a name."""

from pathlib import Path

import pytest
import torch

from backtracking.records import directions
from backtracking.records.directions import Direction, read_directions, write_directions
from backtracking.records.places import Place
from lifeboat.stage.errors import UserError

PLACES = [
    Place("reasoning", "matched", (0, 0), 1),
    Place("reasoning", "matched", (-3, 0), 1),
    Place("base", "matched", (0, 0), 1),
    Place("base", "state", (-1, 10), 0, state="final-answer"),
    Place("reasoning", "null", (0, 0), 1, number=0),
    Place("reasoning", "null", (0, 0), 1, number=1),
    Place("a.b.4:4.2", "action"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = torch.randn(len(PLACES), 5, generator=torch.Generator().manual_seed(0))
    both = zip(PLACES, rows, strict=True)
    write_directions(tmp_path, [Direction(place, row) for place, row in both])
    return tmp_path


def test_vectors_come_back_at_their_places_in_their_order(folder: Path) -> None:
    found = read_directions(folder)
    rows = torch.randn(len(PLACES), 5, generator=torch.Generator().manual_seed(0))
    assert found.places == tuple(PLACES) and len(found) == len(PLACES)
    for place, row in zip(PLACES, rows, strict=True):
        assert torch.equal(found.get(place), row)
    assert isinstance(found.places[0], Place) and found.places[0].window == (0, 0)


def test_directions_are_chosen_by_parts_of_their_place(folder: Path) -> None:
    found = read_directions(folder)
    assert found.of(role="reasoning", form="matched").places == tuple(PLACES[:2])
    assert found.of(form="matched", window=(0, 0), layer=1).places == (PLACES[0], PLACES[2])
    assert [one.place.number for one in found.of(form="null")] == [0, 1]
    assert len(found.of()) == len(PLACES) and len(found.of(layer=0)) == 1


def test_a_place_without_a_direction_is_told(folder: Path) -> None:
    found = read_directions(folder)
    assert found.find(Place("base", "ward", (0, 0), 1)) is None
    with pytest.raises(UserError, match=r"found the forms \['matched', 'state'\] of `base`"):
        found.get(Place("base", "ward", (0, 0), 1))


def test_the_same_directions_are_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_directions(again, read_directions(folder))
    for name in (directions.VECTORS, directions.INDEX):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_two_directions_at_one_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one direction a place"):
        write_directions(tmp_path, [Direction(PLACES[0], torch.ones(3))] * 2)


def test_an_index_of_other_vectors_is_told(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_directions(other, [Direction(PLACES[0], torch.ones(3))])
    (folder / directions.VECTORS).write_bytes((other / directions.VECTORS).read_bytes())
    with pytest.raises(UserError, match="name different vectors"):
        read_directions(folder)
    (folder / directions.VECTORS).write_bytes(b"x")
    with pytest.raises(UserError, match=r"cannot be read.*repro directions"):
        read_directions(folder)
    (folder / directions.VECTORS).unlink()
    with pytest.raises(UserError, match="cannot be read"):
        read_directions(folder)
