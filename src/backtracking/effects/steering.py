"""All tables of the stage `steer`: what its runs amount to beside their nulls."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from backtracking.effects.arms import compare_arms, untested_arms, usable_doses
from backtracking.effects.markerless import compare, judge, whole_and_projected
from backtracking.effects.necessity import necessity
from backtracking.effects.rates import (
    dose_response,
    signs,
    tabulate,
    tabulate_ceiling,
    tabulate_elsewhere,
)
from backtracking.effects.reports import tabulate_reports
from backtracking.effects.seen import Cases, Seen, Trust, cases_of, see
from backtracking.effects.transfer import transfer_matrix
from backtracking.records.choices import Choice
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.measured import CONTROL, PROMPTED, RANDOM, Measured
from backtracking.records.places import window_text
from backtracking.records.rows.arms import Forced
from backtracking.records.rows.choice import Candidate, Magnitude, Selection
from backtracking.records.rows.steering import Curve
from backtracking.records.rows.table import Row
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.spread import Spread, spread_of

Table = Sequence[Row] | Row | Spread | None
"""What a file of results holds."""


@dataclass(frozen=True)
class Steering:
    """All runs of the stage.

    Attributes:
        runs: by run and target.
        cases: of decisions.
        targets: roles of the study's own models, in the order of tables.
        pairs: role of each own model that has a base, and of its base, the studied one first.
        bases: roles of all bases.
    """

    runs: dict[tuple[str, str], Seen]
    cases: Cases
    targets: tuple[str, ...]
    pairs: dict[str, str]
    bases: tuple[str, ...]

    @property
    def studied(self) -> str:
        """Role of the model under study."""
        return next(iter(self.pairs))

    @property
    def tests(self) -> list[Seen]:
        """The runs on test problems, one a target."""
        return [self.runs["test", target] for target in self.targets]

    def judged(self, target: str, source: str, pair: str | None = None) -> Seen:
        """The run in which a source's direction is judged in a target.

        Beside its own nulls; else by the primary edit; else where it was added.

        Args:
            target, source: roles of the models.
            pair: model of a further pair, at whose place all of that was run.
        """
        before = f"{pair}-" if pair else ""
        runs = f"{before}nulls-{source}", f"{before}affine", pair or "test"
        return next(self.runs[run, target] for run in runs if (run, target) in self.runs)

    def patched(self, target: str, pair: str | None = None) -> Seen | None:
        """The run in which a donor's state was put in; None where there was no donor."""
        return self.runs.get((f"{pair}-patched" if pair else "patched", target))

    def patched_back(self, target: str) -> Seen | None:
        """The run in which donors were read, and the state of what they are donors of put in."""
        return self.runs.get(("patched-back", target))

    @property
    def plain(self) -> Seen:
        """The run that has the studied model's baseline, read as affine edits are."""
        return self.find("affine") or self.runs["test", self.studied]

    def find(self, run: str) -> Seen | None:
        """A run of the model under study; None where there was nothing to run."""
        return self.runs.get((run, self.studied))


def gather(
    measured: Iterable[Measured],
    decisions: Decisions,
    classes: Classes,
    targets: Sequence[str],
    pairs: dict[str, str],
    bases: Sequence[str],
    trust: Trust | None = None,
) -> Steering:
    """The runs with what is known of their decisions; arguments as in `Steering` and `see`."""
    runs = {(one.run, one.target): see(one, decisions, trust) for one in measured}
    return Steering(runs, cases_of(decisions, classes), tuple(targets), pairs, tuple(bases))


def tabulate_steering(
    steering: Steering,
    choice: Choice,
    min_agreement: float,
    n_samples: int,
    bootstrap: Bootstrap,
) -> dict[str, Table]:
    """All tables but those of free runs and claims, by file name.

    Args:
        steering: all runs.
        choice: where the pair under study was steered.
        min_agreement: of other predictions on dev, for a dose to be usable.
        n_samples: traces of each problem.
        bootstrap: resamples and level.
    """
    cases, tests = steering.cases, steering.tests
    own, further = steering.runs["test", steering.studied], steering.find("further")
    dev, removed = steering.find("dev"), steering.find("necessity")
    assert dev is not None and further is not None and removed is not None
    affine = [steering.runs.get(("affine", target)) for target in steering.targets]
    shown = [*tests, *(_beside(steering, one) for one in affine if one is not None)]
    asked = {
        (target, case.name): steering.runs[run, target]
        for run, case in (("asked-live", cases.live), ("asked-dead", cases.dead))
        for target in steering.targets
        if (run, target) in steering.runs
    }
    return {
        "selection": selection_of(choice),
        "magnitudes": magnitudes(choice),
        "forced": [row for one in shown for row in tabulate(one, cases, bootstrap)],
        "ceiling": [
            row
            for target in steering.targets
            for patched, case in (
                (steering.patched(target), cases.live),
                (steering.patched_back(target), cases.donors),
            )
            for row in tabulate_ceiling(patched, case, bootstrap)
        ],
        "elsewhere": [row for one in tests for row in tabulate_elsewhere(one, bootstrap)],
        "arms": compare_arms(own.joined(further), cases, bootstrap),
        "controls": tabulate_controls(steering, bootstrap),
        "untested": [] if steering.find(PROMPTED) else untested_arms(own.target),
        "arms_elsewhere": tabulate_elsewhere(further, bootstrap),
        "necessity": necessity(removed, steering.find("necessity-asked"), cases, bootstrap),
        "transfer": transfer_matrix(
            tests, steering.judged, asked, steering.bases, cases, bootstrap
        ),
        "doses": respond_to_doses(own, dev, choice, cases, min_agreement, bootstrap),
        "usable": usable_doses(dev, min_agreement, bootstrap),
        "spread": spread(steering, n_samples),
        "signs": [row for one in shown for row in signs(one, cases, bootstrap)],
        "reports": [
            row
            for case, sign in cases.claimed
            for target in steering.targets
            if (target, case.name) in asked
            for row in tabulate_reports(asked[target, case.name], case, sign, bootstrap)
        ],
    }


def _beside(steering: Steering, affine: Seen) -> Seen:
    """Affine edits, told beside the baseline of added doses where that is read alike."""
    test = steering.runs["test", affine.target]
    return affine.without_baseline() if affine.endpoint == test.endpoint else affine


def tabulate_controls(steering: Steering, bootstrap: Bootstrap) -> list[Forced]:
    """Controls without training beside the base's direction, by the primary edit in its model."""
    base = steering.pairs[steering.studied]
    seen = steering.judged(steering.studied, base)
    arms = [arm for sign in (1, -1) if (arm := seen.primary(base, sign))]
    arms = [one for arm in arms if (its := seen.like(arm, CONTROL)) for one in (arm, *its)]
    return (
        tabulate(seen.with_only([seen.arms[0], *arms]), steering.cases, bootstrap) if arms else []
    )


def tabulate_markerless(steering: Steering, bootstrap: Bootstrap) -> dict[str, Table]:
    """Tables of directions without the markers' rows, in every pair's model."""
    forced, projected, evidence = [], [], []
    live = steering.cases.live
    for target in steering.pairs:
        if ("without-markers", target) not in steering.runs:
            continue
        both = steering.runs["test", target].joined(steering.runs["without-markers", target])
        paired = whole_and_projected(both)
        shown = [both.arms[0], *(arm for pair in paired for arm in pair)]
        forced += tabulate(both.with_only(shown), steering.cases, bootstrap)
        projected += compare(both, live, bootstrap)
        evidence += [
            judge(both, whole, rest, live, bootstrap)
            for whole, rest in paired
            if whole.group == "matched"
        ]
    return {"forced": forced, "projected": projected, "evidence": evidence}


def selection_of(choice: Choice) -> Selection:
    """What was chosen on dev, and from what."""
    grid = tuple(
        Candidate(
            one.layer,
            window_text(one.window),
            one.norm,
            one.effect,
            one.effect_own,
            one.excess,
            one.legal,
        )
        for one in choice.grid
    )
    offset, window = choice.window[1], window_text(choice.window)
    return Selection(choice.layer, window, offset, choice.norm, "dev", grid)


def magnitudes(choice: Choice) -> list[Magnitude]:
    """Dose 1 of every model, the norm of its own direction, and that in mean residual norms."""
    return [
        Magnitude(one.role, one.direction_norm, one.direction_norm / one.residual_norm)
        for one in choice.scales
    ]


def respond_to_doses(
    test: Seen,
    dev: Seen,
    choice: Choice,
    cases: Cases,
    min_agreement: float,
    bootstrap: Bootstrap,
) -> list[Curve]:
    """ED50 of every direction in the target of these runs, in both signs and in three units."""
    (scale,) = (one for one in choice.scales if one.role == test.target)
    rows = []
    for arm in test.main:
        for case, sign in cases.claimed:
            if not (test.has(case) and dev.has(case)):
                continue
            found = dose_response(test, dev, arm, case, sign, min_agreement, bootstrap)
            norm = None if found.ed50 is None else found.ed50 * scale.direction_norm
            shared = None if norm is None else norm / scale.residual_norm
            rows.append(Curve(test.target, arm.name, case.name, sign, found, norm, shared))
    return rows


def spread(steering: Steering, n_samples: int) -> Spread | None:
    """What the primary effect varies by, for the size of further studies; None without any."""
    seen, live = steering.runs["test", steering.studied], steering.cases.live
    arm = seen.along(steering.pairs[steering.studied], 1.0)
    if arm is None or not seen.has(live):
        return None
    randoms = np.stack([seen.change(one, live) for one in seen.like(arm, RANDOM)])
    problems = np.array(seen.problems(live), dtype=object)
    return spread_of(seen.change(arm, live), randoms, problems, n_samples)
