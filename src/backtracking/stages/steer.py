"""What does an edit along a direction change in a model, at which dose, and beside which null?

The primary edit is affine: at the deciding token the projection on the direction is set to what the
model holds at decisions of the other class. Adding doses of it stands beside. Layer and window are
chosen on dev problems; the test problems are read once, after that. Arrays and traces are written,
and no interval: `effects` judges them. Further pairs are measured at places of their own.

Reads: models/*, data/{raw/problems,interim/{traces,activations},processed/labels},
    results/directions
Writes: results/steer/{choice,repeats}.json, results/steer/measured/*.safetensors,
    results/steer/rollouts/*, and where the next sentence is drawn, results/steer/openers.json and
    results/steer/drawn/*
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

from backtracking.directions.contrasts import Sources, matched_contrasts
from backtracking.directions.forms import Contrast
from backtracking.interventions.along import matched_place
from backtracking.interventions.choosing import choose
from backtracking.interventions.drawing import (
    PER_JOB,
    Telling,
    count_openers,
    places_after,
    points_of,
)
from backtracking.interventions.plan import Plan, Words, behind, read_pairs, read_split, read_up_to
from backtracking.interventions.runs import (
    control_jobs,
    repeat_jobs,
    scoring_jobs,
    second_jobs,
    studied_jobs,
)
from backtracking.interventions.setting import Job, Reads, Setting, Target
from backtracking.models.loading import LoadedModel
from backtracking.records.choices import Choice, Scale, write_choices
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.drawn import FOLDER, Drawn, joined, write_drawn
from backtracking.records.measured import Measured, write_measured
from backtracking.records.openers import Openers, freeze, write_openers
from backtracking.records.pairs import MinimalPair
from backtracking.records.places import Window, window_text
from backtracking.records.prompted import read_prompted
from backtracking.records.rollouts import Rollouts, write_rollouts
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.forks import Cores, run_side_by_side
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.stages.study import Study
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import Units, kept

OUT = "results/steer"
Where = tuple[str, str, int]
"""Role, window as text, and layer."""


@dataclass(frozen=True)
class Params(Plan):
    """The plan of the interventions, and what they run on."""

    cores: Cores


@dataclass(frozen=True)
class Texts:
    """What models read.

    Attributes:
        traces, sentences, decisions: of the study.
        classes: of decisions.
        problems: those that free runs may start from.
        pairs: minimal pairs; empty where the domain has none.
        prompted: prompts with an instruction, by problem; empty where the study has none.
    """

    traces: Sequence[Trace]
    sentences: Sentences
    decisions: Decisions
    classes: Classes
    problems: Sequence[Problem]
    pairs: Sequence[MinimalPair]
    prompted: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What was frozen and chosen, what was measured, and what was written."""

    choice: Choice
    repeats: tuple[Choice, ...]
    measured: list[Measured]
    rollouts: list[Rollouts]
    openers: Openers | None = None
    drawn: list[Drawn] = field(default_factory=list)


@dataclass(frozen=True)
class Computing:
    """Where jobs are kept, and how many run at a time."""

    units: Units
    n_at_once: int


def run(
    setting: Setting,
    roles: Roles,
    models: Mapping[str, LoadedModel],
    texts: Texts,
    residual_norm: Mapping[Where, float],
    computing: Computing,
) -> Result:
    """Chooses for every pair, and runs everything there; nothing where there is no direction.

    Args:
        setting: plan, directions and words.
        roles: the models of the study.
        models: all of them.
        texts: what is read.
        residual_norm: mean norm of the residual stream by place.
        computing: where and how.
    """
    frozen = _freeze(setting, roles, models, texts, computing)
    if frozen is not None:
        setting = replace(setting, words=setting.words.with_only(frozen.kept))
    own, *repeats = (
        _choose(setting, texts, _target(models, role, base, (base, role)), computing)
        for role, base in roles.pairs.items()
    )
    if not own.grid:
        return Result(own, tuple(repeats), [], [], frozen)
    own = replace(own, scales=_scales(setting, roles, own, residual_norm))
    reads = _reads(setting.plan, texts)
    bare = [replace(one, grid=(), scales=()) for one in (own, *repeats)]
    jobs = _own_jobs(setting, bare[0], reads, roles, models)
    for choice in bare[1:]:
        jobs += _repeat_jobs(setting, choice, reads, roles, models)
    saved = [kept(computing.units, OUT, job.make) for job in jobs]
    found = run_side_by_side(saved, computing.n_at_once, "steering")
    measured = [one for one in found if isinstance(one, Measured)]
    rollouts = [one for several in found if isinstance(several, tuple) for one in several]
    drawn = _draw(setting, list(models.values()), jobs, found, computing)
    return Result(own, tuple(repeats), measured, rollouts, frozen, drawn)


def _freeze(
    setting: Setting,
    roles: Roles,
    models: Mapping[str, LoadedModel],
    texts: Texts,
    computing: Computing,
) -> Openers | None:
    """Which openers count, by what the studied model writes at dev decisions.

    None where that is known, or where nothing is drawn.
    """
    counted, loaded = setting.words.counted, models[roles.studied]
    if counted.is_exact or not setting.is_drawn:
        return None
    of_texts = (texts.traces, texts.sentences, texts.decisions, texts.classes)
    read, _ = read_split(*of_texts, "dev", setting.plan.n_samples)
    points = points_of([loaded], read, setting.plan)
    told = counted.openers, counted.newlines
    jobs = []
    for first in range(0, len(points), PER_JOB):
        some = points[first : first + PER_JOB]
        telling = setting.telling.at([one.name for one in some])
        jobs.append(partial(count_openers, loaded, some, *told, telling, setting.plan.draws))
    found = run_side_by_side(
        [kept(computing.units, OUT, job) for job in jobs], computing.n_at_once, "freezing openers"
    )
    names = [one.ids.name for one in counted.openers]
    return freeze(roles.studied, setting.telling.labeller, len(points), names, found)


def _draw(
    setting: Setting,
    models: Sequence[LoadedModel],
    jobs: Sequence[Job],
    found: Sequence[object],
    computing: Computing,
) -> list[Drawn]:
    """The next sentences that are drawn in each run, its parts joined again."""
    both = zip(jobs, found, strict=True)
    by_run = [parts for job, one in both if (parts := second_jobs(setting, job, one, models))]
    every = [kept(computing.units, OUT, part) for parts in by_run for part in parts]
    done = iter(run_side_by_side(every, computing.n_at_once, "writing on") if every else [])
    return [joined([next(done) for _ in parts]) for parts in by_run]


def _choose(setting: Setting, texts: Texts, target: Target, computing: Computing) -> Choice:
    of_texts = (texts.traces, texts.sentences, texts.decisions, texts.classes)
    read, _ = read_split(*of_texts, "dev", 1)
    jobs = scoring_jobs(setting, target, read)
    grid = run_side_by_side(
        [kept(computing.units, OUT, job) for job in jobs],
        computing.n_at_once,
        "choosing layer and window",
    )
    return choose(target.role, target.base, setting.plan.min_legal, grid)


def _reads(plan: Plan, texts: Texts) -> Reads:
    of_texts = (texts.traces, texts.sentences, texts.decisions, texts.classes)
    test, decisions = read_split(*of_texts, "test", plan.n_samples)
    dev, _ = read_split(*of_texts, "dev", plan.n_samples)
    of_class = (decisions.is_negative(texts.classes), decisions.is_positive(texts.classes))
    live, dead = (
        read_up_to(texts.traces, decisions[mask.nonzero()[0][: plan.n_reports]], texts.classes)
        for mask in of_class
    )
    free = {p.problem_id for p in texts.problems if p.split == "test" and p.pool == "study"}
    prompts = {t.problem_id: t.prompt_ids for t in texts.traces if t.problem_id in free}
    pairs = read_pairs(texts.traces, texts.decisions, texts.classes, texts.pairs)
    problem_by_trace = {trace.trace_id: trace.problem_id for trace in texts.traces}
    asked = behind(test, [problem_by_trace[one] for one in test.trace_ids], texts.prompted)
    return Reads(test, dev, live, dead, pairs, prompts, asked)


def _own_jobs(
    setting: Setting,
    choice: Choice,
    reads: Reads,
    roles: Roles,
    models: Mapping[str, LoadedModel],
) -> list[Job]:
    jobs = []
    for role in sorted(roles.steered, key=lambda one: one != roles.studied):
        base = roles.base_by_role.get(role, role)
        target = _target(models, role, base, roles.sources(role))
        make = studied_jobs if role == roles.studied else control_jobs
        jobs += make(setting, choice, reads, target).values()
    return jobs


def _repeat_jobs(
    setting: Setting,
    choice: Choice,
    reads: Reads,
    roles: Roles,
    models: Mapping[str, LoadedModel],
) -> list[Job]:
    """A further pair's model beside all other bases; control pairs' models along their bases."""
    bases = tuple(dict.fromkeys((choice.base, choice.model, *roles.bases)))
    target = _target(models, choice.model, choice.base, bases)
    jobs = repeat_jobs(setting, choice, reads, target, has_null=True)
    for role in roles.controls:
        base = roles.base_by_role[role]
        target = _target(models, role, base, (base,))
        jobs += repeat_jobs(setting, choice, reads, target, has_null=False)
    return jobs


def _target(
    models: Mapping[str, LoadedModel], role: str, base: str, sources: tuple[str, ...]
) -> Target:
    return Target(role, models[role], base, sources)


def _scales(
    setting: Setting, roles: Roles, choice: Choice, residual_norm: Mapping[Where, float]
) -> tuple[Scale, ...]:
    """The norms that dose 1 is compared with, at the very place that is steered."""
    named = {
        role: setting.directions.get(matched_place(choice, role))
        for role in roles.all
        if role in roles.steered
    }
    window = window_text(choice.window)
    return tuple(
        Scale(role, float(vector.norm()), residual_norm[role, window, choice.layer])
        for role, vector in named.items()
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Steers."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "steer", workspace.params)
    n_at_once = params_.cores.begin()
    study = Study(workspace, params_.cores.device)
    of_traces = (study.traces, study.sentences, study.decisions, study.classes)
    prompted = read_prompted(workspace.labels)
    texts = Texts(*of_traces, study.problems, study.pairs or [], prompted)
    computing = Computing(study.units, n_at_once)
    result = run(
        _setting(params_, study, texts, cache(partial(_contrast, study))),
        study.roles,
        study.models(study.roles.run),
        texts,
        _residual_norms(workspace),
        computing,
    )
    with artifacts.new_folder(workspace.results("steer")) as folder:
        write_choices(folder, result.choice, result.repeats)
        for one in result.measured:
            write_measured(folder / "measured" / f"{one.run}.{one.target}.safetensors", one)
        write_rollouts(folder / "rollouts", result.rollouts)
        if result.openers is not None:
            write_openers(folder, result.openers)
        if result.drawn:
            write_drawn(folder / FOLDER, result.drawn)
    print(f"layer {result.choice.layer}, window {list(result.choice.window)}")


def _setting(
    params_: Params,
    study: Study,
    texts: Texts,
    contrast_at: Callable[[str, int, Window], Contrast],
) -> Setting:
    names = (field for field in Plan.__dataclass_fields__)
    plan = Plan(**{name: getattr(params_, name) for name in names})
    tokens = study.tokens
    asked = tokens.patterns, tokens.question("report")
    places = places_after(texts.decisions, texts.sentences) if plan.drawn.n else {}
    telling = Telling.of(tokens, study.primary, places)
    return Setting(plan, study.directions, Words.of(tokens), *asked, telling, contrast_at)


def _contrast(study: Study, role: str, layer: int, window: Window) -> Contrast:
    """A model's activations around the deciding tokens of both classes, on train problems."""
    n_strata = params.load_value(int, "directions.n_strata", study.workspace.params)
    of_study = study.sentences, study.decisions, study.classes
    sources = Sources(*of_study, (window,), window, n_strata)
    found = matched_contrasts(sources, study.store(role), role, layer)
    if not found:
        raise UserError(
            f"Expected decisions of both classes in a stratum of the train problems, for the means "
            f"that `{role}` is set to at layer {layer}, found none.",
            "Sample more problems, or use fewer strata (`contrast.strata`, `directions.n_strata`).",
        )
    return found[0].train


def _residual_norms(workspace: Workspace) -> dict[Where, float]:
    rows = artifacts.read_json(workspace.results("directions") / "directions.json")
    return {
        (row["role"], row["window"], row["layer"]): row["mean_residual_norm"]
        for row in rows
        if row["form"] == "matched"
    }


if __name__ == "__main__":
    main()
