"""What do interventions amount to, beside their nulls and with intervals by problem?

All statistics of what the stages before it measured: no model is loaded, so a changed bootstrap or
a new claim costs seconds. Each source of measurements has its function here.

Reads: data/{raw/problems,interim/traces,processed/labels}, models/*/tokenizer.json,
    results/{grade,stability,steer,lens,ablate,belief}, and the file that effects.audit names
Writes: results/effects/steer/{selection,evidence,magnitudes,forced,elsewhere,arms,controls,
    untested,arms_elsewhere,necessity,transfer,doses,usable,signs,spread,reports,free,
    partings,remarks}.json, and of draws results/effects/steer/{drawn,calibration,openers}.json,
    results/effects/markerless/{forced,projected,evidence}.json,
    results/effects/pairs/{selection,claims,counts}.json,
    results/effects/ablate/{forced,elsewhere,free,outcomes,evidence}.json,
    results/effects/belief/{ceilings,null,betas,evidence}.json,
    results/effects/{grade/measures,stability/measures,lens/ranks,lens/evidence}.json
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from backtracking.claims.pairs import count_pairs
from backtracking.claims.verdicts import Known, judge_repeat, judge_steering
from backtracking.domains.construction import Told, built
from backtracking.domains.domain import Domain
from backtracking.domains.registry import open_domain
from backtracking.effects import components
from backtracking.effects.belief import tabulating as belief
from backtracking.effects.decoding import judge_ranks, tabulate_ranks
from backtracking.effects.drawn import (
    at_draws,
    calibrate,
    tabulate_drawn,
    tabulate_openers,
    with_drawn,
)
from backtracking.effects.grades import measure
from backtracking.effects.partings import tabulate_partings
from backtracking.effects.remarks import (
    Turns,
    tabulate_remarks,
    turns_of_draws,
    turns_of_rollouts,
)
from backtracking.effects.rollouts import Written, observe, tabulate_free
from backtracking.effects.seen import Seen, Trust, see
from backtracking.effects.stability import measure_stability
from backtracking.effects.steering import (
    Steering,
    Table,
    gather,
    selection_of,
    tabulate_markerless,
    tabulate_steering,
)
from backtracking.labels.audit import precision_of, read_points
from backtracking.labels.rules import keyword_rate, label_by_rules
from backtracking.records import reader
from backtracking.records.choices import read_choice, read_repeats
from backtracking.records.decoded import read_decoded
from backtracking.records.drawn import FOLDER, Drawn, read_drawn
from backtracking.records.events import read_events
from backtracking.records.measured import read_all_measured
from backtracking.records.openers import read_openers
from backtracking.records.pairs import read_pairs
from backtracking.records.places import Place
from backtracking.records.rollouts import Rollouts, read_rollouts
from backtracking.records.rows.arms import Free, Parting
from backtracking.records.rows.belief import Selection
from backtracking.records.rows.choice import Repeat
from backtracking.records.rows.claims import Evidence, Repeated
from backtracking.records.rows.measures import Tally
from backtracking.records.rows.table import read_rows
from backtracking.records.sentences import State
from backtracking.records.traces import Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Workspace
from backtracking.stages.reading import Reading
from backtracking.stages.study import Study
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage import artifacts

Tables = Mapping[str, Table]
"""Contents of files, by name."""


@dataclass(frozen=True)
class Sources:
    """What the tables are made of.

    Attributes:
        study: its records.
        steering: the runs of the stage `steer`.
        domain: what is studied.
        bootstrap: of all intervals.
    """

    study: Study
    steering: Steering
    domain: Domain
    bootstrap: Bootstrap


def of_grade(sources: Sources) -> Tables:
    """The rates that the stage `grade` counted."""
    path = sources.study.workspace.results("grade") / "tallies.jsonl"
    taught = sources.domain.taught_rates
    return {"measures": measure(reader.read_lines(Tally, path), taught, sources.bootstrap)}


def of_steer(sources: Sources) -> Tables:
    """The tables of the stage `steer`."""
    study, bootstrap = sources.study, sources.bootstrap
    source = study.workspace.results("steer")
    settings = study.workspace.params
    min_agreement = params.load_value(float, "steer.min_agreement", settings)
    n_samples = params.load_value(int, "steer.n_samples", settings)
    choice = read_choice(source)
    tables = tabulate_steering(sources.steering, choice, min_agreement, n_samples, bootstrap)
    evidence = judge_steering(sources.steering, _known(sources), bootstrap)
    drawn = read_drawn(source / FOLDER)
    seen = _seen_at_draws(sources, drawn)
    free, turns, partings = _free(sources)
    turns += [
        one for its in drawn for one in turns_of_draws(seen[its.counts.run, its.counts.target], its)
    ]
    tables |= {"evidence": evidence, "free": free, "partings": partings}
    tables |= {"remarks": tabulate_remarks(turns, bootstrap)}
    return {**tables, **(_of_draws(sources, seen, drawn) if drawn else {})}


def _seen_at_draws(sources: Sources, drawn: Sequence[Drawn]) -> dict[tuple[str, str], Seen]:
    """All runs that were drawn, at their draws."""
    study = sources.study
    if not drawn:
        return {}
    measured = read_all_measured(study.workspace.results("steer") / "measured")
    runs = {(one.run, one.target): one for one in measured}
    counts = {(one.counts.run, one.counts.target): one.counts for one in drawn}
    return {name: see(at_draws(runs[name], its), study.decisions) for name, its in counts.items()}


def _of_draws(
    sources: Sources, seen: Mapping[tuple[str, str], Seen], drawn: Sequence[Drawn]
) -> Tables:
    """What was drawn after decisions, and the openers that were frozen for it."""
    bootstrap = sources.bootstrap
    openers = read_openers(sources.study.workspace.results("steer"))
    tables: dict[str, Table] = {
        "drawn": tabulate_drawn(seen, drawn, sources.steering.cases, bootstrap),
        "calibration": calibrate(seen, drawn, bootstrap),
    }
    if openers is not None:
        tables["openers"] = tabulate_openers(openers, seen, drawn, bootstrap)
    return tables


def of_markerless(sources: Sources) -> Tables:
    """The tables of directions without the markers' rows of the unembedding."""
    return tabulate_markerless(sources.steering, sources.bootstrap)


def of_pairs(sources: Sources) -> Tables:
    """In how many pairs does each claim hold, where the seed of the training is all that differs?

    With one pair, the default, the claims are the study's own, and n is 1.
    """
    source, bootstrap = sources.study.workspace.results("steer"), sources.bootstrap
    choices = (read_choice(source), *read_repeats(source))
    known = _known(sources)
    judged = [judge_steering(sources.steering, known, bootstrap)[:3]]
    judged += [judge_repeat(sources.steering, one, known, bootstrap) for one in choices[1:]]
    claims = [Repeated(at, row) for at, rows in enumerate(judged, start=1) for row in rows]
    selection = [Repeat(at, selection_of(one)) for at, one in enumerate(choices, start=1)]
    counts = count_pairs([one.evidence for one in claims], bootstrap.level)
    return {"selection": selection, "claims": claims, "counts": counts}


def of_ablate(sources: Sources) -> Tables:
    """The tables of the stage `ablate`."""
    study, reading = sources.study, Reading(sources.study, sources.domain)
    source = study.workspace.results("ablate")
    written = read_rollouts(source / "rollouts")
    return components.tabulate(
        (study.roles.studied, *study.roles.controls),
        read_all_measured(source / "measured"),
        study.decisions,
        [(one, observe(_written(reading, one), study.kinds)) for one in written],
        sources.bootstrap,
        params.load_value(float, "effects.kept_share", study.workspace.params),
    )


def of_belief(sources: Sources) -> Tables:
    """The tables of the stage `belief`."""
    roles, source = sources.study.roles, sources.study.workspace.results("belief")
    return belief.tabulate(
        reader.read_json(Selection, source / "selection.json"),
        {role: roles.base_by_role[role] for role in (roles.studied, *roles.controls)},
        read_all_measured(source / "measured"),
        read_pairs(source / "pairs.jsonl") or [],
        sources.bootstrap,
    )


def of_stability(sources: Sources) -> Tables:
    """What the regenerated events of the stage `stability` say together."""
    workspace = sources.study.workspace
    events = read_events(workspace.results("stability") / "events.jsonl")
    threshold = params.load_value(float, "stability.threshold", workspace.params)
    kinds = sources.study.kinds
    return {"measures": measure_stability(events, kinds, threshold, sources.bootstrap)}


def of_lens(sources: Sources) -> Tables:
    """Whether the directions that the stage `lens` decoded decode to the marker."""
    study = sources.study
    marker = study.tokens.marker.name if study.tokens.marker else None
    decoded, randoms = read_decoded(study.workspace.results("lens"))
    choice = read_choice(study.workspace.results("steer"))
    chosen = Place(study.roles.studied, "matched", choice.window, choice.layer)
    pairs = sources.steering.pairs
    n_problems = len(set(study.sentences.problem[study.sentences.split == "train"]))
    ranks = tabulate_ranks(decoded, randoms, marker) if marker else []
    evidence = judge_ranks(decoded, randoms, chosen, pairs, marker, n_problems)
    return {"ranks": ranks, "evidence": evidence}


class Source(NamedTuple):
    """The stage that measured, and what makes its tables; one that did not run has none."""

    stage: str
    tabulate: Callable[[Sources], Tables]


SOURCES: Mapping[str, Source] = {
    "grade": Source("grade", of_grade),
    "steer": Source("steer", of_steer),
    "markerless": Source("steer", of_markerless),
    "pairs": Source("steer", of_pairs),
    "stability": Source("stability", of_stability),
    "lens": Source("lens", of_lens),
    "ablate": Source("ablate", of_ablate),
    "belief": Source("belief", of_belief),
}
"""Every source of measurements, by the folder of its tables in results/effects."""


def _ran(study: Study, source: Source) -> bool:
    """Whether a stage has measured; along directions none has where none could be estimated."""
    results = study.workspace.results
    along = source.stage in ("steer", "lens")
    return results(source.stage).is_dir() and not (along and not read_choice(results("steer")).grid)


def _written(reading: Reading, rollouts: Rollouts) -> list[Written]:
    """What is read of each trace."""
    nll = rollouts.nll or (None,) * len(rollouts.traces)
    return [
        _one(reading, rollouts.target, trace, values)
        for trace, values in zip(rollouts.traces, nll, strict=True)
    ]


def _one(reading: Reading, role: str, trace: Trace, nll: Any) -> Written:
    sentences, grade = reading.read(role, trace)
    primary = reading.study.primary
    states: list[State] = [
        one.label_by.get(primary) or label_by_rules(one.text)  # type: ignore[misc]
        for one in sentences
    ]
    return Written(trace, sentences, states, grade, keyword_rate(trace.text), nll)


def _free(sources: Sources) -> tuple[list[Free], list[Turns], list[Parting]]:
    """What free runs do, model by model, the turns in them, and where they part."""
    study, reading = sources.study, Reading(sources.study, sources.domain)
    prompts = {name: one.prompt for name, one in reading.problems.items()}
    rows: list[Free] = []
    turns: list[Turns] = []
    partings: list[Parting] = []
    found = read_rollouts(study.workspace.results("steer") / "rollouts")
    for role in sources.steering.pairs:
        its = [(one, _written(reading, one)) for one in found if one.target == role]
        turns += [turns_of_rollouts(*one) for one in its]
        rows += tabulate_free(its, study.kinds, sources.bootstrap)
        partings += tabulate_partings(its, prompts)
    return rows, turns, partings


def _kinds_hold(study: Study) -> bool:
    """Whether the contrasted kinds are as precise as they have to be, where a person read some."""
    settings = study.workspace.params
    file = params.load_value(str, "effects.audit", settings)
    floor = params.load_value(float, "effects.min_precision", settings)
    path, classes = settings.parent / file, study.classes
    points = read_points(path) if classes.by == "kind" and path.is_file() else []
    contrasted = {*classes.positive, *classes.negative}
    found = [one for one in precision_of(points) if one.kind in contrasted]
    return all(one.value >= floor for one in found)


def _known(sources: Sources) -> Known:
    """What is true and what is false by construction."""
    study = sources.study
    told = params.load(Told, "known", study.workspace.params)
    found = built(sources.domain, study.roles, sources.steering.pairs, told)
    settings = study.workspace.params
    controls = params.load_value(tuple[str, ...], "directions.controls", settings)
    return Known(found.false, found.true, controls)


def main(argv: Sequence[str] | None = None) -> None:
    """Makes all tables."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    study = Study(workspace)
    roles = study.roles
    steered = workspace.results("steer")
    openers, is_exact = read_openers(steered), study.tokens.turning is not None
    steering = gather(
        with_drawn(read_all_measured(steered / "measured"), read_drawn(steered / FOLDER)),
        study.decisions,
        study.classes,
        roles.steered,
        {role: base for role, base in roles.base_by_role.items() if role not in roles.repeats},
        roles.bases,
        Trust(
            opens_tells=is_exact or (openers is not None and openers.is_usable),
            is_exact=is_exact,
            kinds_hold=_kinds_hold(study),
        ),
    )
    bootstrap = params.load(Bootstrap, "statistics", workspace.params)
    sources = Sources(study, steering, open_domain(workspace.params), bootstrap)
    with artifacts.new_folder(workspace.results("effects")) as folder:
        for name, source in SOURCES.items():
            for file, table in (source.tabulate(sources) if _ran(study, source) else {}).items():
                reader.write_json(folder / name / f"{file}.json", table)
    for claim in read_rows(Evidence, workspace.root / "results"):
        print(f"{claim.claim}, {claim.finding.pair}: {claim.finding.verdict}")


if __name__ == "__main__":
    main()
