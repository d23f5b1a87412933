"""What a stage that runs a model writes: arrays of arms by columns, with what both are.

No interval stands here: `effects` makes those. One file a model and run, the index in its metadata,
read without torch.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import safetensors.numpy
from jaxtyping import Float
from safetensors import SafetensorError, safe_open

from backtracking.records import reader
from backtracking.records.places import Place
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

Where = Literal["decision", "onwards", "all", "other"]
"""Positions of an edit: the deciding token; every one from it to what is read; all; or as many
other sentence ends."""

Edit = Literal["none", "add", "set_projection", "displace", "project_out", "patch", "ablate"]
"""`set_projection` on a direction to a class's mean; `displace` along another direction, as far as
that edit moves the same decision."""

Axis = Literal["arms", "decisions", "prefixes", "pairs"]
"""What the columns of an array are: nothing, one number an arm; decisions; prefixes; pairs."""

BASELINE = "baseline"
"""Group, and name, of the arm that changes nothing."""

MATCHED, ACTION, WITHOUT_MARKERS = "matched", "action", "without markers"
"""Groups of directions: what is studied; what says the markers alone; the former without them."""

RANDOM, SHUFFLED = "random", "shuffled_labels"
"""Groups that are nulls of what is added: random directions; those of shuffles."""

ISOTROPIC, COVARIANCE, SIGN_FLIPPED = "isotropic", "covariance", "sign_flipped"
"""Groups that are nulls of the affine edit, moved as far as it (`directions.nulls`)."""

BESIDE = (SIGN_FLIPPED, SHUFFLED)
"""Nulls that are told and not to be beaten: a direction from labels that were drawn is short, and
brought to the same length it lies along the true one wherever what tells the classes apart is most
of what varies."""

RETRAINED = "retrained"
"""Group of directions that were estimated again, from train problems that were drawn anew."""

CONTROL = "control"
"""Group of directions that are none of what is claimed, and are to do less than the one under test:
controls without training. They displace as far as its affine edit does."""

PROMPTED = "prompted"
"""Run whose baseline reads the same text behind another prompt."""

PATCHED = "patch"
"""Group, and name, of the arm that writes the donor's state: the ceiling."""

P_OPEN, P_BACK, P_LEGAL = "p_open", "p_back", "p_legal"
"""Arrays at decisions: P(a word that opens backtracking); P(backtracking), where it is not taken
back; mass on tokens that may stand there."""

LOG_ODDS, COSINE = "log_odds", "cosine"
"""Arrays: log-odds of a report that is asked for at decisions; cosine of an arm's direction with
the one that it is held against."""

_INDEX = "index"
_CURE = "Measure it again: `dvc --wait-for-lock repro` the stage that wrote it."


@dataclass(frozen=True)
class Arm:
    """One way in which a model was changed.

    Attributes:
        name: as it stands in tables.
        group: what it is one of: `baseline`, `random`, `matched`, a null, a form, a component.
        dose: in multiples of the reference norm, signed; 0 where nothing is added. Of the affine
            edit, the class whose mean the projection is set to: 1 the positive, -1 the negative.
        where: positions that are changed.
        edit: how.
        place: the direction's; None for what is none of the study's directions.
        layer: block whose output is changed; None for the whole model or nothing.
        component: what of the block is ablated.
        value: what an ablated component is replaced by.
    """

    name: str
    group: str
    dose: float = 0.0
    where: Where = "decision"
    edit: Edit = "add"
    place: Place | None = None
    layer: int | None = None
    component: Literal["attention", "mlp"] | None = None
    value: Literal["mean", "zero"] | None = None


def baseline() -> Arm:
    """The arm that changes nothing."""
    return Arm(BASELINE, BASELINE, edit="none")


@dataclass(frozen=True)
class Index:
    """All that a file says of its arrays.

    Attributes:
        target, run, arms, decisions, prefixes, pairs: as in `Measured`.
        axis_by_array: what the columns of each array are.
    """

    target: str
    run: str
    arms: tuple[Arm, ...]
    decisions: tuple[str, ...]
    prefixes: tuple[str, ...]
    pairs: tuple[str, ...]
    axis_by_array: Mapping[str, Axis]


@dataclass(frozen=True)
class Array:
    """One thing that was read under every arm; NaN where it was not asked.

    Attributes:
        axis: what the columns are; `arms` has none, one number an arm.
        values: arms first.
    """

    axis: Axis
    values: Float[np.ndarray, "arms ..."]


@dataclass(frozen=True)
class Measured:
    """What one model did under every arm, in one run.

    Attributes:
        target: role of the model.
        run: which run of the stage: `test`, `dev`, `extras`.
        arms: what each row is.
        arrays: by name.
        decisions: names of decisions (`Decision.decision_id`), the columns of their arrays.
        prefixes: trace ids of prefixes, likewise.
        pairs: ids of minimal pairs, likewise.
    """

    target: str
    run: str
    arms: tuple[Arm, ...]
    arrays: Mapping[str, Array]
    decisions: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            columns = () if array.axis == "arms" else (len(getattr(self, array.axis)),)
            expected = (len(self.arms), *columns)
            if array.values.shape != expected:
                raise ValueError(
                    f"Expected `{name}` of shape {expected}, found {array.values.shape}."
                )

    def row(self, arm: Arm) -> int:
        """The number of an arm."""
        return self.arms.index(arm)

    def values(self, name: str, arm: Arm | None = None) -> Float[np.ndarray, "..."]:
        """An array by name, or its row of one arm."""
        values = self.arrays[name].values
        return values if arm is None else np.asarray(values[self.row(arm)])

    def arms_of(
        self, *, group: str | None = None, dose: float | None = None, where: Where | None = None
    ) -> list[Arm]:
        """Arms of a group, a dose and positions, in their order; what is None may be anything."""
        return [
            arm
            for arm in self.arms
            if group in (None, arm.group)
            and dose in (None, arm.dose)
            and where in (None, arm.where)
        ]

    def with_only(self, arms: Sequence[int]) -> "Measured":
        """Some of the arms, by number."""
        rows = list(arms)
        arrays = {
            name: Array(array.axis, array.values[rows]) for name, array in self.arrays.items()
        }
        return replace(self, arms=tuple(self.arms[row] for row in rows), arrays=arrays)

    def with_arms_of(self, other: "Measured") -> "Measured":
        """These arms, and then the other's without its baseline, on the same columns.

        Raises:
            ValueError: where target, columns or arrays differ.
        """
        if self._columns() != other._columns():
            raise ValueError("Expected arms that were read on the same columns.")
        extra = other.with_only([row for row, arm in enumerate(other.arms) if arm.edit != "none"])
        arrays = {
            name: Array(one.axis, np.concatenate([one.values, extra.arrays[name].values]))
            for name, one in self.arrays.items()
        }
        return replace(self, arms=(*self.arms, *extra.arms), arrays=arrays)

    def _columns(self) -> tuple[object, ...]:
        axes = {name: one.axis for name, one in self.arrays.items()}
        return self.target, self.decisions, self.prefixes, self.pairs, axes


def write_measured(path: Path, measured: Measured) -> None:
    """Writes one safetensors file, the index in its metadata."""
    index = Index(
        measured.target,
        measured.run,
        measured.arms,
        measured.decisions,
        measured.prefixes,
        measured.pairs,
        {name: one.axis for name, one in measured.arrays.items()},
    )
    text = json.dumps(reader.encode(index), sort_keys=True, allow_nan=False)
    arrays = {name: np.ascontiguousarray(one.values) for name, one in measured.arrays.items()}
    artifacts.write_bytes(path, safetensors.numpy.save(arrays, metadata={_INDEX: text}))


def read_measured(path: Path) -> Measured:
    """The contents of one file.

    Raises:
        UserError: where it is missing, broken or another file.
    """
    text, arrays = read_arrays(path, _CURE)
    index = reader.decode(Index, json.loads(text), str(path), _CURE)
    if index.axis_by_array.keys() != arrays.keys():
        raise UserError(f"{path}: index and arrays name different things.", _CURE)
    return Measured(
        target=index.target,
        run=index.run,
        arms=index.arms,
        arrays={name: Array(index.axis_by_array[name], values) for name, values in arrays.items()},
        decisions=index.decisions,
        prefixes=index.prefixes,
        pairs=index.pairs,
    )


def read_all_measured(folder: Path) -> list[Measured]:
    """All files of a folder `measured/`, in the order of their names."""
    return [read_measured(path) for path in sorted(folder.glob("*.safetensors"))]


def read_arrays(path: Path, cure: str) -> tuple[str, dict[str, np.ndarray]]:
    """The index, as JSON text, and the arrays of a safetensors file that has one.

    Raises:
        UserError: where the file is missing, broken, or has no index.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(_INDEX)
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read: {error}.", cure) from None
    if text is None:
        raise UserError(f"{path} has no index in its metadata.", cure)
    return text, arrays
