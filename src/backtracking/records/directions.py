"""Directions by their places: one file of vectors and one index; nobody writes or parses a name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor

from backtracking.records import reader
from backtracking.records.places import Place, Window
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

VECTORS, INDEX = "directions.safetensors", "places.json"
_CURE = "Estimate the directions again: `dvc --wait-for-lock repro directions`."


@dataclass(frozen=True)
class Direction:
    """A vector, and where it was estimated; its norm is the estimator's."""

    place: Place
    vector: Float[Tensor, " d_model"]


@dataclass(frozen=True)
class Indexed:
    """A place, and the key of its tensor."""

    place: Place
    key: str


@dataclass(frozen=True)
class Index:
    """All places of a file, in the order in which they were written."""

    directions: tuple[Indexed, ...]


@dataclass(frozen=True)
class Directions:
    """Directions that can be asked for by their places."""

    directions: tuple[Direction, ...]

    def __len__(self) -> int:
        return len(self.directions)

    def __iter__(self) -> Iterator[Direction]:
        return iter(self.directions)

    @property
    def places(self) -> tuple[Place, ...]:
        """The places, in order."""
        return tuple(one.place for one in self.directions)

    def find(self, place: Place) -> Float[Tensor, " d_model"] | None:
        """The vector of a place; None where there is none."""
        return next((one.vector for one in self.directions if one.place == place), None)

    def get(self, place: Place) -> Float[Tensor, " d_model"]:
        """The vector of a place.

        Raises:
            UserError: where there is none.
        """
        found = self.find(place)
        if found is None:
            near = sorted({one.form for one in self.places if one.role == place.role})
            raise UserError(
                f"Expected a direction at {place}, found the forms {near} of `{place.role}`.",
                _CURE,
            )
        return found

    def of(
        self,
        *,
        role: str | None = None,
        form: str | None = None,
        window: Window | None = None,
        layer: int | None = None,
    ) -> "Directions":
        """Those of a role, a form, a window and a layer; what is None may be anything."""
        wanted = {"role": role, "form": form, "window": window, "layer": layer}
        named = {name: value for name, value in wanted.items() if value is not None}
        return Directions(
            tuple(
                one
                for one in self.directions
                if all(getattr(one.place, name) == value for name, value in named.items())
            )
        )


def write_directions(folder: Path, directions: Iterable[Direction]) -> None:
    """Writes vectors and their index into a folder.

    Raises:
        ValueError: where two have one place.
    """
    found = list(directions)
    if len({one.place for one in found}) < len(found):
        raise ValueError("Expected one direction a place, found several.")
    keyed = {f"{number:06d}": one for number, one in enumerate(found)}
    tensors = {key: one.vector.contiguous() for key, one in keyed.items()}
    artifacts.write_bytes(folder / VECTORS, safetensors.torch.save(tensors))
    index = Index(tuple(Indexed(one.place, key) for key, one in keyed.items()))
    reader.write_json(folder / INDEX, index)


def read_directions(folder: Path) -> Directions:
    """The directions of a folder.

    Raises:
        UserError: where a file is missing or broken, or the two do not belong together.
    """
    index = reader.read_json(Index, folder / INDEX, _CURE)
    path = folder / VECTORS
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read: {error}.", _CURE) from None
    keys = [one.key for one in index.directions]
    if sorted(keys) != sorted(tensors):
        differ = sorted(set(keys) ^ set(tensors))
        raise UserError(f"{path} and {INDEX} name different vectors: {differ}.", _CURE)
    return Directions(tuple(Direction(one.place, tensors[one.key]) for one in index.directions))
