"""What was measured of one model: its readouts under every arm, as changes towards the donor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from backtracking.models.prefixes import Span
from backtracking.records.measured import Arm, Measured
from backtracking.records.rows.belief import Dose

CLEAN, PATCH, DONOR, FORCED = "clean", "patch", "donor", "forced"
ACTION_ARM = "action"
RANDOM, DIRECTION = "random", "direction"
"""Groups of arms; `patch`, `donor` and `forced` are groups of their own."""


@dataclass(frozen=True)
class Trial:
    """One model's readouts under every arm.

    Attributes:
        measured: the readouts, the clean run first, the donors' and the forced one last.
        problems: the problem of each pair.
        doses: dose of every direction by (name, layer).
        sign: what a change towards the donor is multiplied by, to be one towards the dead end.
    """

    measured: Measured
    problems: Sequence[str]
    doses: Mapping[tuple[str, int], Dose]
    sign: int = 1

    @property
    def role(self) -> str:
        """The model's."""
        return self.measured.target

    @cached_property
    def _arm_by_key(self) -> dict[tuple[str, int | None, str], Arm]:
        return {(arm.name, arm.layer, arm.where): arm for arm in self.measured.arms}

    def find(self, name: str, layer: int | None, span: str) -> Arm | None:
        """An arm; None where the direction has no dose."""
        return self._arm_by_key.get((name, layer, span))

    def change(self, readout: str, arm: Arm) -> Float[np.ndarray, " pairs"]:
        """Readout under an arm minus that of the clean run, towards the donor."""
        values = self.measured.values(readout)
        return self.sign * (values[self.measured.row(arm)] - values[0])

    def patched(self, readout: str, layer: int, span: Span) -> Float[np.ndarray, " pairs"]:
        """The change under the patch there."""
        return self.change(readout, self._arm_by_key[PATCH, layer, span])

    def natural(self, readout: str) -> Float[np.ndarray, " pairs"]:
        """Readout in the donor's own run minus that of the clean run, towards the donor."""
        (donor,) = self.measured.arms_of(group=DONOR)
        return self.change(readout, donor)

    def at(self, layer: int, span: Span) -> list[Arm]:
        """Arms there, the patch apart: directions in their order, then random ones."""
        return [
            arm
            for arm in self.measured.arms_of(where=span)
            if arm.layer == layer and arm.group in (DIRECTION, RANDOM)
        ]
