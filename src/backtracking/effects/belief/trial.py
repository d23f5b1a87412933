"""What was measured of one model: its readouts under every arm, as changes towards the donor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from backtracking.records.measured import PATCHED, Arm, Measured, Where
from backtracking.records.pairs import MinimalPair
from backtracking.records.rows.belief import DONOR, Dose, Matched


@dataclass(frozen=True)
class Trial:
    """One model's readouts under every arm.

    Attributes:
        measured: the readouts, the clean run first, the donors' last.
        problems: the problem of each pair.
        doses: dose of every direction by (name, layer).
        n_layers: blocks of the model.
        sign: what a change towards the donor is multiplied by, to be one towards the dead end.
    """

    measured: Measured
    problems: Sequence[str]
    doses: Mapping[tuple[str, int], Dose]
    n_layers: int
    sign: int = 1

    @classmethod
    def of(
        cls,
        measured: Measured,
        pairs: Iterable[MinimalPair],
        doses: Iterable[Matched],
        n_layers: int,
        sign: int,
    ) -> "Trial":
        """What was measured of a model, of the records of its study."""
        problem_by_pair = {one.pair_id: one.problem_id for one in pairs}
        return cls(
            measured,
            [problem_by_pair[one] for one in measured.pairs],
            {(one.direction, one.layer): one.dose for one in doses if one.role == measured.target},
            n_layers,
            sign,
        )

    @property
    def role(self) -> str:
        """The model's."""
        return self.measured.target

    @cached_property
    def _arm_by_key(self) -> dict[tuple[str, int | None, str], Arm]:
        return {(arm.name, arm.layer, arm.where): arm for arm in self.measured.arms}

    @property
    def layers(self) -> list[int]:
        """Layers at which the model was patched."""
        patched = self.measured.arms_of(group=PATCHED)
        return sorted({arm.layer for arm in patched if arm.layer is not None})

    def find(self, name: str, layer: int, span: Where) -> Arm | None:
        """An arm; None where the direction has no dose."""
        return self._arm_by_key.get((name, layer, span))

    def change(self, readout: str, arm: Arm) -> Float[np.ndarray, " pairs"]:
        """Readout under an arm minus that of the clean run, towards the donor."""
        values = self.measured.values(readout)
        return self.sign * (values[self.measured.row(arm)] - values[0])

    def flips(self, readout: str, arm: Arm) -> Float[np.ndarray, " pairs"]:
        """1 where the answer is the donor's under an arm and is not in the clean run."""
        values = self.sign * self.measured.values(readout)
        clean, under = values[0], values[self.measured.row(arm)]
        return np.where(np.isnan(under), np.nan, (under > 0) & (clean <= 0))

    def fluent(self, arm: Arm) -> float:
        """P(a usual token) behind the deciding one, over that of the clean run."""
        values = self.measured.values("fluent")
        return float(values[self.measured.row(arm)].mean() / values[0].mean())

    def patched(self, readout: str, layer: int, span: Where) -> Float[np.ndarray, " pairs"]:
        """The change under the patch there."""
        return self.change(readout, self._arm_by_key[PATCHED, layer, span])

    def natural(self, readout: str) -> Float[np.ndarray, " pairs"]:
        """Readout in the donor's own run minus that of the clean run, towards the donor."""
        (donor,) = self.measured.arms_of(group=DONOR)
        return self.change(readout, donor)

    def tells(self, readout: str) -> bool:
        """Whether a readout was asked, and tells the donor from the clean prefix on the whole."""
        return bool(np.nansum(self.natural(readout)) > 0)

    def at(self, group: str, layer: int, span: Where) -> list[Arm]:
        """The arms of a group there, in their order."""
        return [arm for arm in self.measured.arms_of(group=group, where=span) if arm.layer == layer]
