"""What is run in which model, once layer and window are chosen: jobs that depend on no other."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from backtracking.interventions.along import (
    Along,
    control_directions,
    further_directions,
    main_directions,
    random_directions,
    without_markers,
)
from backtracking.interventions.arms import (
    affine_arms,
    arms_at,
    main_arms,
    patched_arms,
    removals,
    retrained_arms,
    with_nulls,
)
from backtracking.interventions.choosing import score_place
from backtracking.interventions.drawing import drawing_jobs
from backtracking.interventions.measure import ask, force
from backtracking.interventions.plan import Push, Read, no_push, swapped
from backtracking.interventions.rollouts import run_free, sampling_of
from backtracking.interventions.setting import Job, Reads, Setting, Target
from backtracking.models.loading import LoadedModel
from backtracking.records.choices import Choice, Scored
from backtracking.records.drawn import Drawn
from backtracking.records.measured import ISOTROPIC, MATCHED, PROMPTED, SHUFFLED, Measured

TEST, DEV, FURTHER, WITHOUT = "test", "dev", "further", "without-markers"
NECESSITY, NECESSITY_ASKED = "necessity", "necessity-asked"
ASKED_LIVE, ASKED_DEAD = "asked-live", "asked-dead"
AFFINE, NULLS, PATCHED, PATCHED_BACK = "affine", "nulls", "patched", "patched-back"
"""Runs, as their files are called: `nulls` with the role of the direction behind it, as in
`nulls-base`; those of a further pair with its model before it, as in `reasoning-2-affine`. In
`patched-back` the donors are read, and what they are donors of is put in."""


def scoring_jobs(setting: Setting, target: Target, read: Read) -> list[Callable[[], Scored]]:
    """One job for every layer and window, on dev: what `choosing.choose` chooses from.

    Args:
        setting: the study's.
        target: the pair's model.
        read: one trace of each dev problem.
    """
    plan, directions = setting.plan, setting.directions
    plan = replace(plan, n_null=plan.n_few_random)
    jobs = []
    for place in directions.of(role=target.role, form="matched").places:
        choice = Choice(target.role, target.base, place.layer or 0, place.window or (0, 0), 0.0)
        ground = setting.ground(target.role, choice)
        own, base = (
            main_directions(directions, choice, target.role, (role,))[0]
            for role in (target.role, target.base)
        )
        (none, edit, _, *nulls) = with_nulls(plan, choice.layer, ground, base, (ISOTROPIC,))
        _, edit_own, _ = affine_arms(choice.layer, ground, [own])
        pushes = [none, edit, edit_own, *(one for one in nulls if one.arm.dose > 0)]
        jobs.append(
            partial(
                score_place,
                target.loaded,
                choice.layer,
                choice.window,
                ground.distance,
                read,
                pushes,
                setting.words,
                plan.edits_per_batch,
            )
        )
    return jobs


def studied_jobs(setting: Setting, choice: Choice, reads: Reads, target: Target) -> dict[str, Job]:
    """All runs of the model under study, by name; the longest come first."""
    plan, main, randoms = setting.plan, _main(setting, choice, target), _randoms(setting, target)
    ground, layer = setting.ground(target.role, choice), choice.layer
    further = further_directions(setting.directions, choice, target.base, target.role)
    force_ = partial(_force, setting, choice, target)
    few = randoms[: plan.n_few_random]
    doses = partial(main_arms, plan, layer, ground.distance, main)
    jobs: dict[str, Job] = {
        "free": free_job(setting, choice, reads, target),
        **affine_jobs(setting, choice, reads, target),
        TEST: Job(force_(TEST, reads.test, doses(randoms), (1.0, -1.0)), is_drawn=True),
        DEV: Job(force_(DEV, reads.dev, doses(few), plan.doses)),
    }
    pushes = arms_at(layer, ground.distance, further, (1.0, -1.0))
    jobs[FURTHER] = Job(force_(FURTHER, reads.test, pushes, (1.0, -1.0)))
    kept = [one for one in further if one.group not in ("state", SHUFFLED)]
    removed = removals(layer, ground, [*main, *kept, *randoms])
    jobs[NECESSITY] = Job(force_(NECESSITY, reads.test, removed))
    if reads.prompted.prefixes:
        prompted = force_(PROMPTED, reads.prompted, [no_push(target.loaded.d_model)])
        jobs[PROMPTED] = Job(prompted, is_drawn=True)
    if setting.question is not None and reads.dead.prefixes:
        asked = _ask(setting, choice, target, NECESSITY_ASKED, reads.dead, removed)
        jobs[NECESSITY_ASKED] = Job(asked)
    return jobs | pair_jobs(setting, choice, reads, target)


def control_jobs(setting: Setting, choice: Choice, reads: Reads, target: Target) -> dict[str, Job]:
    """All runs of another model of the study, by name; none is set free."""
    main, randoms = _main(setting, choice, target), _randoms(setting, target)
    distance = setting.ground(target.role, choice).distance
    arms = arms_at(choice.layer, distance, [*main, *randoms], (1.0, -1.0))
    jobs = affine_jobs(setting, choice, reads, target)
    forced = _force(setting, choice, target, TEST, reads.test, arms, (1.0, -1.0))
    jobs[TEST] = Job(forced, is_drawn=True)
    return jobs | pair_jobs(setting, choice, reads, target)


def affine_jobs(
    setting: Setting,
    choice: Choice,
    reads: Reads,
    target: Target,
    before: str = "",
    *,
    has_null: bool = True,
) -> dict[str, Job]:
    """The primary intervention: all sources; the pair's own two beside nulls; beside the patch.

    With the nulls go directions that were estimated again; a base that is steered has neither. With
    those of the base's direction in the pair's model go controls without training. What is patched
    needs minimal pairs.

    Args:
        setting: the study's.
        choice: of the pair.
        reads: what is read.
        target: the model.
        before: what the runs' names begin with.
        has_null: whether nulls are run too.
    """
    main, ground = _main(setting, choice, target), setting.ground(target.role, choice)
    own = [one for one in main if one.group == MATCHED and one.name in (target.role, target.base)]
    jobs: dict[str, Job] = {}

    def add(run: str, read: Read, pushes: Sequence[Push]) -> None:
        forced = _force(setting, choice, target, before + run, read, pushes)
        jobs[before + run] = Job(forced, is_drawn=True)

    for one in own if has_null and target.role != target.base else ():
        estimated = setting.contrast_at(one.name, choice.layer, choice.window)
        where = setting.plan, choice.layer, ground, one
        is_primary = (target.role, one.name) == (choice.model, choice.base)
        controls = control_directions(setting.directions, choice) if is_primary else ()
        pushes = with_nulls(*where, controls=controls) + retrained_arms(*where, estimated)
        add(f"{NULLS}-{one.name}", reads.test, pushes)
    add(AFFINE, reads.test, affine_arms(choice.layer, ground, main))
    patched = ((PATCHED, reads.pairs, 1.0), (PATCHED_BACK, swapped(reads.pairs), -1.0))
    for run, read, sign in patched if reads.pairs.prefixes else ():
        add(run, read, patched_arms(choice.layer, ground, main, sign))
    return jobs


def pair_jobs(setting: Setting, choice: Choice, reads: Reads, target: Target) -> dict[str, Job]:
    """Runs that every model has: reports, a base's at both classes; of others, without markers."""
    main, randoms = _main(setting, choice, target), _randoms(setting, target)
    distance = setting.ground(target.role, choice).distance
    is_base = target.base == target.role
    jobs: dict[str, Job] = {}
    if setting.question is not None:
        asked = [(ASKED_LIVE, reads.live, 1.0)] + [(ASKED_DEAD, reads.dead, -1.0)] * is_base
        for run, read, dose in asked:
            if read.prefixes:
                arms = arms_at(choice.layer, distance, [*main, *randoms], (dose,))
                jobs[run] = Job(_ask(setting, choice, target, run, read, arms))
    opener_ids = setting.words.counted.opener_ids
    if not is_base and opener_ids:
        own = [one for one in main if one.place and one.place.role in (target.role, target.base)]
        without = without_markers(target.loaded, own, opener_ids)
        arms = arms_at(choice.layer, distance, without, (1.0,))
        jobs[WITHOUT] = Job(_force(setting, choice, target, WITHOUT, reads.test, arms))
    return jobs


def repeat_jobs(
    setting: Setting, choice: Choice, reads: Reads, target: Target, *, has_null: bool
) -> list[Job]:
    """A model at a further pair's place: affine edits, and its sources added at dose 1 and -1.

    Args:
        setting: the study's.
        choice: the pair's own.
        reads: what is read.
        target: the pair's model, or a control pair's.
        has_null: whether nulls are run too.
    """
    main, layer = _main(setting, choice, target), choice.layer
    randoms = _randoms(setting, target) if has_null else []
    matched = [one for one in main if one.group == MATCHED]
    ground = setting.ground(target.role, choice)
    arms = arms_at(layer, ground.distance, [*matched, *randoms], (1.0, -1.0))
    added = _force(setting, choice, target, choice.model, reads.test, arms)
    before = f"{choice.model}-"
    affine = affine_jobs(setting, choice, reads, target, before, has_null=has_null)
    return [Job(added), *affine.values()]


def second_jobs(
    setting: Setting, job: Job, found: object, models: Sequence[LoadedModel]
) -> list[partial[Drawn]]:
    """What is drawn once a run has told which nulls open most; none where nothing is drawn.

    At decisions behind which all models have room.
    """
    if not setting.is_drawn or not job.is_drawn or not isinstance(found, Measured):
        return []
    paths = setting.words.counted.paths
    return drawing_jobs(setting.plan, job.make, found, setting.telling, paths, models)


def free_job(setting: Setting, choice: Choice, reads: Reads, target: Target) -> Job:
    """Free runs of the model under study."""
    plan = setting.plan
    own = tuple(dict.fromkeys((target.base, target.role)))
    main = main_directions(setting.directions, choice, target.role, own)
    distance = setting.ground(target.role, choice).distance
    few = random_directions(plan, target.loaded.d_model, plan.n_free_random)
    make = partial(
        run_free,
        target.loaded,
        target.role,
        choice.layer,
        reads.prompts,
        TEST,
        arms_at(choice.layer, distance, main, (1.0, -1.0))
        + arms_at(choice.layer, distance, few, (1.0,))[1:],
        setting.patterns,
        sampling_of(plan),
        is_scored=True,
    )
    return Job(make)


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
    elsewhere: Sequence[float] = (),
) -> partial[Measured]:
    where = (target.loaded, target.role, run, choice.layer, read)
    return partial(force, *where, arms, setting.words, setting.sizes, elsewhere=tuple(elsewhere))


def _ask(
    setting: Setting,
    choice: Choice,
    target: Target,
    run: str,
    read: Read,
    arms: Sequence[Push],
) -> partial[Measured]:
    assert setting.question is not None
    where = (target.loaded, target.role, run, choice.layer, read)
    return partial(ask, *where, arms, setting.question, setting.sizes)
