"""The arms of the experiment, run on models: each at its matched dose, beside the patch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from backtracking.belief.doses import Candidate, match_doses
from backtracking.belief.plan import Plan, Points, Run
from backtracking.belief.readouts import Asked, Words, ask, join
from backtracking.belief.trial import CLEAN, DIRECTION, DONOR, FORCED, PATCH, RANDOM, Trial
from backtracking.directions.vectors import random_directions
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import SPANS, Edit, no_edit
from backtracking.records.measured import BASELINE, Arm, Array, Measured
from backtracking.records.pairs import MinimalPair
from backtracking.records.rows.belief import Dose

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
