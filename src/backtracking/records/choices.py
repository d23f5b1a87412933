"""Where a pair is steered: chosen on dev problems by `steer`, read by whatever steers after it."""

from dataclasses import dataclass
from pathlib import Path

from backtracking.records import reader
from backtracking.records.places import Window

CHOICE, REPEATS = "choice.json", "repeats.json"
"""Of the pair under study, and of the further pairs that repeat it."""

_CURE = "Steer again: `dvc --wait-for-lock repro steer`."


@dataclass(frozen=True)
class Scored:
    """What the affine edit does at one place on dev problems; all means over live decisions.

    Attributes:
        layer, window: of the directions, and where they are added.
        norm: of the model's own direction there, which is dose 1.
        effect: change of P(backtrack) at decisions of the negative class by the base's direction,
            the projection on which is set to the mean of the positive class.
        effect_own: the same by the model's own.
        excess: `effect` minus the mean effect of random directions, moved as far.
        legal: mass on tokens that may stand there, under the base's direction; None if not known.
    """

    layer: int
    window: Window
    norm: float
    effect: float
    effect_own: float
    excess: float
    legal: float | None


@dataclass(frozen=True)
class Scale:
    """What the norm of dose 1 may be compared with, in one model.

    Attributes:
        role: the model.
        direction_norm: norm of its own direction at the chosen place.
        residual_norm: mean norm of its residual stream at the chosen layer.
    """

    role: str
    direction_norm: float
    residual_norm: float


@dataclass(frozen=True)
class Choice:
    """Where a pair is steered.

    Attributes:
        model, base: roles of the pair.
        layer, window: where the directions are estimated and added.
        norm: of dose 1 in this model; in others it is that of their own direction (`scales`).
        grid: all places, scored.
        scales: of every model that is steered.
    """

    model: str
    base: str
    layer: int
    window: Window
    norm: float
    grid: tuple[Scored, ...] = ()
    scales: tuple[Scale, ...] = ()


@dataclass(frozen=True)
class Choices:
    """Those of several pairs."""

    choices: tuple[Choice, ...]


def write_choices(folder: Path, own: Choice, repeats: tuple[Choice, ...]) -> None:
    """Writes both files."""
    reader.write_json(folder / CHOICE, own)
    reader.write_json(folder / REPEATS, Choices(repeats))


def read_choice(folder: Path) -> Choice:
    """The choice for the pair under study.

    Raises:
        UserError: where the file is missing or another one.
    """
    return reader.read_json(Choice, folder / CHOICE, _CURE)


def read_repeats(folder: Path) -> tuple[Choice, ...]:
    """The choices for the further pairs.

    Raises:
        UserError: where the file is missing or another one.
    """
    return reader.read_json(Choices, folder / REPEATS, _CURE).choices
