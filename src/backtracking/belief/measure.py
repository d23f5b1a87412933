"""The arms of the experiment, run on models: each at its matched dose, beside the patch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from backtracking.belief.doses import Candidate, match_doses
from backtracking.belief.plan import Plan, Points, Run
from backtracking.belief.readouts import Readouts, ask, join
from backtracking.directions.vectors import random_directions
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import SPANS, Edit, no_edit
from backtracking.records.directions import Direction
from backtracking.records.measured import (
    ACTION,
    BASELINE,
    PATCHED,
    RANDOM,
    Arm,
    Array,
    Measured,
)
from backtracking.records.pairs import MinimalPair
from backtracking.records.rows.belief import CLEAN, DIRECTION, DONOR, Dose, Matched

PAIRS_PER_JOB = 20
"""Pairs that one job asks about: what a killed run does again, at most."""


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
class Asked:
    """What one model did.

    Attributes:
        measured: the readouts, the clean run first, the donors' last.
        doses: of every direction, matched on dev.
        n_layers: blocks of the model.
    """

    measured: Measured
    doses: list[Matched]
    n_layers: int


def with_action(candidates: Sequence[Candidate], action: Direction) -> list[Candidate]:
    """The directions, with `action` at every layer that they name."""
    layers = sorted({one.layer for one in candidates})
    added = [Candidate(ACTION, layer, action.vector, action.place) for layer in layers]
    return [*candidates, *added]


def measure(plan: Plan, subjects: Sequence[Subject], points: Points, run: Run) -> list[Asked]:
    """All readouts of the clean run, the patch and every direction at its dose, on test pairs.

    A random direction is added with the norm that the direction `reference` has at that layer: what
    any vector of that length does. (Matched to the patch of its own, hardly one would reach it.)
    """
    words, dev, test = points.words, points.with_donor("dev"), points.with_donor("test")
    matching = (plan.doses, plan.n_rounds, plan.rows_per_batch)
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
    parts = list(_parts(test))
    jobs = [
        partial(ask, one.loaded, part, words, design.rows, plan.rows_per_batch)
        for one, design in zip(subjects, designs, strict=True)
        for part in parts
    ]
    found = iter(run(jobs))
    return [
        Asked(
            _record(one.role, design.arms, join([next(found) for _ in parts]), test),
            [
                Matched(one.role, *place, dose)
                for place, dose in _by_key(one.candidates, doses).items()
            ],
            one.loaded.n_layers,
        )
        for one, design, doses in zip(subjects, designs, matched, strict=True)
    ]


def clean_arm() -> Arm:
    """The arm that changes nothing."""
    return Arm(CLEAN, BASELINE, edit="none", layer=0)


def _record(
    role: str, arms: Sequence[Arm], asked: Readouts, pairs: Sequence[MinimalPair]
) -> Measured:
    """What was asked as a record; the donors' own runs are the last arm."""
    return Measured(
        target=role,
        run="test",
        arms=(*arms, Arm(DONOR, DONOR, edit="none")),
        arrays={name: Array("pairs", values) for name, values in asked.by_name.items()},
        pairs=tuple(pair.pair_id for pair in pairs),
    )


@dataclass(frozen=True)
class _Design:
    """What each row of a model's readouts is."""

    arms: list[Arm]
    rows: list[Edit]

    @classmethod
    def of(cls, plan: Plan, subject: Subject, doses: Sequence[Dose], sign: int) -> "_Design":
        loaded, layers = subject.loaded, sorted({one.layer for one in subject.candidates})
        found = cls([clean_arm()], [no_edit(loaded)])
        for layer in layers:
            for span in SPANS:
                found.arms.append(Arm(PATCHED, PATCHED, where=span, edit="patch", layer=layer))
                found.rows.append(Edit("patch", layer, None, span))
        dose_by_key = _by_key(subject.candidates, doses)
        for one in subject.candidates:
            found.add(one, DIRECTION, dose_by_key[one.name, one.layer], sign)
        generator = torch.Generator().manual_seed(plan.seed)
        units = random_directions(plan.n_random, loaded.d_model, generator)
        for layer in layers:
            dose = dose_by_key.get((subject.reference or "", layer))
            # Nothing above the last layer attends to an edit there, so there is nothing to test.
            if dose is not None and layer < loaded.n_layers - 1:
                for number, unit in enumerate(units):
                    found.add(Candidate(f"{RANDOM}_{number}", layer, unit), RANDOM, dose, sign)
        return found

    def add(self, one: Candidate, group: str, dose: Dose, sign: int) -> None:
        """Two arms, one for each edit set; none where there is no dose."""
        if dose.norm == 0:
            return
        amount = dose.mean_residual_norms
        for span in SPANS:
            self.arms.append(Arm(one.name, group, amount, span, "add", one.place, one.layer))
            self.rows.append(Edit("add", one.layer, sign * dose.norm * one.unit, span))


def _by_key(candidates: Sequence[Candidate], doses: Sequence[Dose]) -> dict[tuple[str, int], Dose]:
    return {(one.name, one.layer): dose for one, dose in zip(candidates, doses, strict=True)}


def _parts(pairs: Sequence[MinimalPair]) -> Iterator[list[MinimalPair]]:
    for first in range(0, max(1, len(pairs)), PAIRS_PER_JOB):
        yield list(pairs[first : first + PAIRS_PER_JOB])
