"""What is run in which model, once layer and window are chosen: jobs that depend on no other.

A job returns what one model did in one run, `Measured` or `Rollouts`; its arguments are all that
the result depends on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from backtracking.interventions.arms import (
    Along,
    arms_at,
    further_directions,
    main_arms,
    main_directions,
    random_directions,
    removals,
    without_markers,
)
from backtracking.interventions.choosing import score_place
from backtracking.interventions.measure import ask, force
from backtracking.interventions.plan import Plan, Push, Read, Words
from backtracking.interventions.rollouts import run_free, sampling_of
from backtracking.models.loading import LoadedModel
from backtracking.records.choices import Choice, Scored
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.directions import Directions
from backtracking.records.measured import NOISE, SHUFFLED, Measured
from backtracking.records.places import Place
from backtracking.records.rollouts import Rollouts
from backtracking.records.tokens import Pattern, Question

TEST, DEV, FURTHER, WITHOUT = "test", "dev", "further", "without-markers"
NECESSITY, NECESSITY_ASKED = "necessity", "necessity-asked"
ASKED_LIVE, ASKED_DEAD = "asked-live", "asked-dead"
"""Runs, as their files are called; those of a further pair are called after its model."""

Job = Callable[[], Measured | tuple[Rollouts, ...]]


@dataclass(frozen=True)
class Target:
    """A model that is steered.

    Attributes:
        role: the model.
        loaded: itself.
        base: role of the base that it is paired with; of a base, itself.
        sources: roles whose directions it is steered along.
    """

    role: str
    loaded: LoadedModel
    base: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """What all runs of a study share.

    Attributes:
        plan: doses and sizes.
        directions: all that there are.
        words: whose probabilities are read.
        patterns: the online rule of where something is decided.
        question: what models are asked to report; None where the domain has no question.
    """

    plan: Plan
    directions: Directions
    words: Words
    patterns: tuple[Pattern, ...]
    question: Question | None


@dataclass(frozen=True)
class Reads:
    """What is read.

    Attributes:
        test, dev: prefixes of a split, with their decisions.
        live, dead: prefixes of test problems that end at a decision of the negative, and of the
            positive class, at which models are asked to report.
        prompts: of test problems, by problem, for free runs.
    """

    test: Read
    dev: Read
    live: Read
    dead: Read
    prompts: Mapping[str, Sequence[int]]


def scoring_jobs(
    setting: Setting, target: Target, read: Read, decisions: Decisions, classes: Classes
) -> list[Callable[[], Scored]]:
    """One job for every layer and window, on dev: what `choosing.choose` chooses from.

    Args:
        setting: the study's.
        target: the pair's model.
        read: one trace of each dev problem.
        decisions: in them, in the same order.
        classes: of which decisions the effect is read.
    """
    plan, directions = setting.plan, setting.directions
    matched = directions.of(role=target.role, form="matched").places
    randoms = random_directions(plan, target.loaded.d_model, plan.n_few_random)
    live = decisions.is_negative(classes)
    jobs = []
    for place in sorted(matched, key=lambda one: (one.layer, one.window)):
        assert place.layer is not None and place.window is not None
        own, base = (directions.get(Place(role, *place[1:])) for role in (target.role, target.base))
        jobs.append(
            partial(
                score_place,
                target.loaded,
                place.layer,
                place.window,
                read,
                live,
                base,
                own,
                [one.unit for one in randoms],
                setting.words,
                plan.rows_per_batch,
            )
        )
    return jobs


def studied_jobs(setting: Setting, choice: Choice, reads: Reads, target: Target) -> dict[str, Job]:
    """All runs of the model under study, by name; the longest come first."""
    plan, main, randoms = setting.plan, _main(setting, choice, target), _randoms(setting, target)
    further = further_directions(setting.directions, choice, plan, target.base, target.role)
    force_ = partial(_force, setting, choice, target)
    dev = main_arms(plan, choice, main, randoms[: plan.n_few_random], has_doses=True)
    jobs: dict[str, Job] = {
        TEST: force_(TEST, reads.test, main_arms(plan, choice, main, randoms, has_doses=True)),
        "free": free_job(setting, choice, reads, target, is_studied=True),
        DEV: force_(DEV, reads.dev, dev),
        FURTHER: force_(FURTHER, reads.test, arms_at(plan, choice, further, (1.0, -1.0))),
    }
    kept = [one for one in further if one.group not in ("state", SHUFFLED, NOISE)]
    removed = removals(choice, [*main, *kept, *randoms])
    jobs[NECESSITY] = force_(NECESSITY, reads.test, removed)
    if setting.question is not None and reads.dead.prefixes:
        jobs[NECESSITY_ASKED] = _ask(setting, choice, target, NECESSITY_ASKED, reads.dead, removed)
    return jobs | pair_jobs(setting, choice, reads, target)


def control_jobs(setting: Setting, choice: Choice, reads: Reads, target: Target) -> dict[str, Job]:
    """All runs of another model of the study, by name; of a base nothing is set free."""
    plan, main = setting.plan, _main(setting, choice, target)
    arms = main_arms(plan, choice, main, _randoms(setting, target), has_doses=False)
    jobs: dict[str, Job] = {TEST: _force(setting, choice, target, TEST, reads.test, arms)}
    if target.base != target.role:
        jobs["free"] = free_job(setting, choice, reads, target, is_studied=False)
    return jobs | pair_jobs(setting, choice, reads, target)


def pair_jobs(setting: Setting, choice: Choice, reads: Reads, target: Target) -> dict[str, Job]:
    """Runs that every model has: reports, a base's at both classes; of others, without markers."""
    main, randoms = _main(setting, choice, target), _randoms(setting, target)
    is_base = target.base == target.role
    jobs: dict[str, Job] = {}
    if setting.question is not None:
        asked = [(ASKED_LIVE, reads.live, 1.0)] + [(ASKED_DEAD, reads.dead, -1.0)] * is_base
        for run, read, dose in asked:
            if read.prefixes:
                arms = arms_at(setting.plan, choice, [*main, *randoms], (dose,))
                jobs[run] = _ask(setting, choice, target, run, read, arms)
    if not is_base and setting.words.opener_ids:
        own = [one for one in main if one.place and one.place.role in (target.role, target.base)]
        without = without_markers(target.loaded, own, setting.words.opener_ids)
        arms = arms_at(setting.plan, choice, without, (1.0,))
        jobs[WITHOUT] = _force(setting, choice, target, WITHOUT, reads.test, arms)
    return jobs


def repeat_job(
    setting: Setting, choice: Choice, reads: Reads, target: Target, *, has_null: bool
) -> Job:
    """A model at a further pair's place: its sources' directions at dose 1 and -1.

    Args:
        setting: the study's.
        choice: the pair's own.
        reads: what is read.
        target: the pair's model, or a control pair's.
        has_null: whether random directions are run too.
    """
    main = _main(setting, choice, target)
    randoms = _randoms(setting, target) if has_null else []
    matched = [one for one in main if one.place and one.place.form == "matched"]
    arms = arms_at(setting.plan, choice, [*matched, *randoms], (1.0, -1.0))
    return _force(setting, choice, target, choice.model, reads.test, arms)


def free_job(
    setting: Setting, choice: Choice, reads: Reads, target: Target, *, is_studied: bool
) -> Job:
    """Free runs; `action` and random directions run in the model under study only."""
    plan = setting.plan
    own = tuple(dict.fromkeys((target.base, target.role)))
    main = main_directions(setting.directions, choice, target.role, own)
    main = [one for one in main if is_studied or one.place and one.place.form == "matched"]
    arms = arms_at(plan, choice, main, (1.0, -1.0))
    if is_studied:
        few = random_directions(plan, target.loaded.d_model, plan.n_free_random)
        arms += arms_at(plan, choice, few, (1.0,))[1:]
    return partial(
        run_free,
        target.loaded,
        target.role,
        choice.layer,
        reads.prompts,
        TEST,
        arms,
        setting.patterns,
        sampling_of(plan),
        is_scored=is_studied,
    )


def _main(setting: Setting, choice: Choice, target: Target) -> list[Along]:
    return main_directions(setting.directions, choice, target.role, target.sources)


def _randoms(setting: Setting, target: Target) -> list[Along]:
    return random_directions(setting.plan, target.loaded.d_model)


def _force(
    setting: Setting,
    choice: Choice,
    target: Target,
    run: str,
    read: Read,
    arms: Sequence[Push],
) -> partial[Measured]:
    return partial(
        force,
        target.loaded,
        target.role,
        run,
        choice.layer,
        read,
        arms,
        setting.words,
        setting.plan.rows_per_batch,
    )


def _ask(
    setting: Setting,
    choice: Choice,
    target: Target,
    run: str,
    read: Read,
    arms: Sequence[Push],
) -> partial[Measured]:
    assert setting.question is not None
    question = setting.question
    return partial(ask, target.loaded, target.role, run, choice.layer, read, arms, question)
