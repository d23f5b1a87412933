"""The arms of the experiment, run on models: each at its matched dose, beside the patch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from backtracking.belief.doses import Candidate, Dose, match_doses, orientation
from backtracking.belief.readouts import Asked, Words, ask, join, words_of
from backtracking.directions.vectors import random_directions
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import SPANS, Edit, Span, no_edit
from backtracking.records.measured import BASELINE, Arm, Array, Measured
from backtracking.records.pairs import MinimalPair
from backtracking.records.sentences import Kind
from backtracking.records.tokens import Tokens

CLEAN, PATCH, DONOR, FORCED = "clean", "patch", "donor", "forced"
ACTION_ARM = "action"
RANDOM, DIRECTION = "random", "direction"
"""Groups of arms; `patch`, `donor` and `forced` are groups of their own."""

PAIRS_PER_JOB = 20
"""Pairs that one job asks about: what a killed run does again, at most."""

Run = Callable[[Sequence[Callable[[], Any]]], list[Any]]
"""Does jobs and returns what each gave, in their order; a stage keeps them as units."""


@dataclass(frozen=True)
class Plan:
    """How much of the experiment is run.

    Attributes:
        n_items: test points with donors, at most.
        n_dev_items: the same on dev, on which doses are matched.
        n_dead_ends: test points at visible dead ends, at most, for necessity.
        doses: grid of the match, in mean norms of the residual stream; the last is the bound.
        n_rounds: refinements of a dose.
        n_random: random directions, in the model under study.
        regularisations: inverse strengths among which dev chooses that of the logistic baseline.
        rows_per_batch: edits in one call of the model.
        seed: of random directions and the pairs of the PCA baseline.
    """

    n_items: int
    n_dev_items: int
    n_dead_ends: int
    doses: tuple[float, ...]
    n_rounds: int
    n_random: int
    regularisations: tuple[float, ...]
    rows_per_batch: int
    seed: int

    def __post_init__(self) -> None:
        counts = (self.n_items, self.n_dev_items, self.n_dead_ends, self.rows_per_batch)
        if min(*counts, self.n_random) < 1 or self.n_rounds < 0:
            raise ValueError("numbers of items, random directions and rows must be 1 or more.")
        if not self.doses or sorted({0.0, *self.doses}) != [0.0, *self.doses]:
            raise ValueError(f"doses {list(self.doses)} must ascend from above 0.")
        if not self.regularisations or min(self.regularisations) <= 0:
            raise ValueError("regularisations must be above 0, and one at the least.")


@dataclass(frozen=True)
class Points:
    """The decision points that models are asked at.

    Attributes:
        pairs: points with donors of dev and test, and test points at visible dead ends.
        kinds: the domain's kinds.
        tokens: the words of the study.
    """

    pairs: Sequence[MinimalPair]
    kinds: tuple[Kind, ...]
    tokens: Tokens

    def with_donor(self, split: str) -> list[MinimalPair]:
        """Points of a split that have a donor."""
        return [one for one in self.pairs if one.split == split and one.donor_kind is not None]

    @property
    def dead_ends(self) -> list[MinimalPair]:
        """Test points at dead ends that a reader of the trace can tell."""
        dead = {kind.name for kind in self.kinds if kind.standing == "dead" and kind.visible}
        return [one for one in self.pairs if one.split == "test" and one.kind in dead]

    @cached_property
    def sign(self) -> int:
        """See `orientation`."""
        return orientation(self.pairs, self.kinds)

    @property
    def reason(self) -> str:
        """Why nothing can be asked here; empty where it can."""
        if words_of(self.tokens) is None:
            return "the study has no marker, or no question `report`"
        lacking = [split for split in ("dev", "test") if not self.with_donor(split)]
        return f"there are no minimal pairs of {' and '.join(lacking)}" if lacking else ""

    @property
    def words(self) -> Words:
        """The words of the readouts.

        Raises:
            ValueError: where `reason` says that there are none.
        """
        found = words_of(self.tokens)
        if found is None:
            raise ValueError(self.reason)
        return found


@dataclass(frozen=True)
class Subject:
    """A model, and the directions that are added to it.

    Attributes:
        role: of the model.
        loaded: the model.
        candidates: what is added, at their layers; a direction without a dose has no arm.
        reference: name of the direction whose norm random ones are added with; None for none.
    """

    role: str
    loaded: LoadedModel
    candidates: Sequence[Candidate]
    reference: str | None = None


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


def measure(plan: Plan, subjects: Sequence[Subject], points: Points, run: Run) -> list[Trial]:
    """All readouts of the clean run, the patch and every direction at its dose, on test pairs.

    A random direction is added with the norm that the direction `reference` has at that layer: what
    any vector of that length does. (Matched to the patch of its own, hardly one would reach it.)
    """
    words, test = points.words, points.with_donor("test")
    matching = (plan.doses, plan.n_rounds, plan.rows_per_batch)
    dev = points.with_donor("dev")
    matched = run(
        [
            partial(match_doses, one.loaded, dev, words, points.sign, one.candidates, *matching)
            for one in subjects
        ]
    )
    designs = [
        _Design.of(plan, one, doses, points.sign)
        for one, doses in zip(subjects, matched, strict=True)
    ]
    found = ask_in_parts(
        [
            (one.loaded, test, design.rows, design.n_followed)
            for one, design in zip(subjects, designs, strict=True)
        ],
        words,
        plan.rows_per_batch,
        run,
    )
    return [
        Trial(
            record(one.role, "test", design.arms, asked, test),
            [pair.problem_id for pair in test],
            _by_key(one.candidates, doses),
            points.sign,
        )
        for one, design, doses, asked in zip(subjects, designs, matched, found, strict=True)
    ]


def ask_in_parts(
    wanted: Sequence[tuple[LoadedModel, Sequence[MinimalPair], Sequence[Edit], int]],
    words: Words,
    rows_per_batch: int,
    run: Run,
) -> list[Asked]:
    """What `ask` gives of each model, pairs, edits and `n_followed`, a few pairs a job."""
    jobs = [
        [
            partial(ask, loaded, part, words, rows, n_followed, rows_per_batch)
            for part in _parts(pairs)
        ]
        for loaded, pairs, rows, n_followed in wanted
    ]
    found = iter(run([job for of_one in jobs for job in of_one]))
    return [join([next(found) for _ in of_one]) for of_one in jobs]


def record(
    role: str, name: str, arms: Sequence[Arm], asked: Asked, pairs: Sequence[MinimalPair]
) -> Measured:
    """What was asked as a record; the donors' own runs and the forced one are the last arms."""
    parts = [one.by_name for one in (asked.arms, asked.donor, asked.forced)]
    return Measured(
        target=role,
        run=name,
        arms=(*arms, Arm(DONOR, DONOR, edit="none"), Arm(FORCED, FORCED, edit="none")),
        arrays={
            readout: Array("pairs", np.concatenate([one[readout] for one in parts]))
            for readout in parts[0]
        },
        pairs=tuple(pair.pair_id for pair in pairs),
    )


def clean_arm() -> Arm:
    """The arm that changes nothing."""
    return Arm(CLEAN, BASELINE, edit="none", layer=0)


def random_at(plan: Plan, d_model: int, layers: Sequence[int]) -> list[Candidate]:
    """The same random directions at every layer."""
    generator = torch.Generator().manual_seed(plan.seed)
    units = random_directions(plan.n_random, d_model, generator)
    return [
        Candidate(f"{RANDOM}_{number}", layer, unit)
        for layer in layers
        for number, unit in enumerate(units)
    ]


@dataclass(frozen=True)
class _Design:
    """What each row of a model's readouts is; the first `n_followed` are followed to the end."""

    arms: list[Arm]
    rows: list[Edit]
    n_followed: int

    @classmethod
    def of(cls, plan: Plan, subject: Subject, doses: Sequence[Dose], sign: int) -> "_Design":
        layers = sorted({one.layer for one in subject.candidates})
        arms, rows = [clean_arm()], [no_edit(subject.loaded)]
        for layer in layers:
            for span in SPANS:
                arms.append(Arm(PATCH, PATCH, where=span, edit="patch", layer=layer))
                rows.append(Edit("patch", layer, None, span))
        for one, dose in zip(subject.candidates, doses, strict=True):
            _add(arms, rows, one, DIRECTION, dose.mean_residual_norms, sign * dose.norm)
        n_followed = len(rows)
        if subject.reference is not None:
            dose_by_key = _by_key(subject.candidates, doses)
            for one in random_at(plan, subject.loaded.d_model, layers):
                dose = dose_by_key[subject.reference, one.layer]
                _add(arms, rows, one, RANDOM, dose.mean_residual_norms, sign * dose.norm)
        return cls(arms, rows, n_followed)


def _add(
    arms: list[Arm], rows: list[Edit], one: Candidate, group: str, dose: float, norm: float
) -> None:
    if norm == 0:
        return
    for span in SPANS:
        arms.append(Arm(one.name, group, dose, span, "add", one.place, one.layer))
        rows.append(Edit("add", one.layer, norm * one.unit, span))


def _by_key(candidates: Sequence[Candidate], doses: Sequence[Dose]) -> dict[tuple[str, int], Dose]:
    return {(one.name, one.layer): dose for one, dose in zip(candidates, doses, strict=True)}


def _parts(pairs: Sequence[MinimalPair]) -> Iterator[list[MinimalPair]]:
    for first in range(0, max(1, len(pairs)), PAIRS_PER_JOB):
        yield list(pairs[first : first + PAIRS_PER_JOB])
