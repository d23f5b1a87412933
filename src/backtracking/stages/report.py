"""What does it look like? Every figure, and one page: the finding, the claims, every trace.

Reads: data/raw/problems, data/interim/traces, data/processed/labels, data/interim/activations,
    results/grade, results/directions, results/probe, results/steer, results/transitions,
    results/effects, results/*.json, results/tables
Writes: results/report: index.html, which opens from disk, without a network; figures/*.png
Writes (git): figures/*.svg, one of each name whatever the study; what is not drawn says why
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backtracking.claims.literature.study import Study as Tabulated
from backtracking.domains.registry import open_domain
from backtracking.figures.every import Found, draw
from backtracking.figures.picture import Absent, Picture, file_of
from backtracking.figures.style import png
from backtracking.figures.training import losses
from backtracking.labels.rules import with_rules
from backtracking.records.choices import read_choice
from backtracking.records.measured import P_BACK, P_OPEN, read_all_measured
from backtracking.records.places import Place
from backtracking.records.rollouts import read_rollouts
from backtracking.records.rows.table import Tables
from backtracking.records.sentences import read_sentences
from backtracking.records.traces import Trace
from backtracking.report.committed import open_results, read_table
from backtracking.report.sections import Shown, sections
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Workspace
from backtracking.stages.looking import ByTrace, projections, sampled
from backtracking.stages.reading import Reading
from backtracking.stages.study import Study
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.view.page import page
from backtracking.view.shown import ShownTrace
from backtracking.view.study import of_rollouts, of_study
from lifeboat.stage import artifacts


@dataclass(frozen=True)
class Params:
    """How much is shown.

    Attributes:
        n_traces: sampled traces, those of test problems first.
        n_layers: layers of whose projections one is chosen, the steered one and those next to it.
        n_steered: problems whose steered generations stand beside the unsteered one.
    """

    n_traces: int
    n_layers: int
    n_steered: int

    def __post_init__(self) -> None:
        if min(self.n_traces, self.n_layers, self.n_steered) < 0:
            raise ValueError("n_traces, n_layers and n_steered must be 0 or more.")


ORDER = ("test", "dev", "train")


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the page."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "report", workspace.params)
    study, results = Study(workspace), open_results(workspace.root)
    title = f"{params.load_value(str, 'domain.name', workspace.params)}: what was found"
    shown = [
        *_sampled(study, params_.n_traces, params_.n_layers),
        *_steered(study, params_.n_steered),
    ]
    pictures = draw(_found(study))
    with artifacts.new_folder(workspace.results("report")) as folder:
        figures = [_write(name, one, workspace.root, folder) for name, one in pictures.items()]
        markup = sections(results, figures)
        artifacts.write_text(folder / "index.html", page(title, shown, markup))
    n_drawn = sum(one.svg is not None for one in figures)
    print(f"{len(shown)} traces, {n_drawn} of {len(figures)} figures")


def _found(study: Study) -> Found:
    """What figures show."""
    roles, marker, results = study.roles, study.tokens.marker, study.workspace.root / "results"
    pairs = {role: base for role, base in roles.base_by_role.items() if role not in roles.repeats}
    name = marker.name if marker else "none"
    return Found(
        study=Tabulated(pairs, study.classes, study.kinds, name, Tables(results)),
        losses=losses(read_table((results / "tables" / "loss.csv").read_text())),
        traces=study.traces,
        sentences=read_sentences(study.workspace.labels / "sentences.jsonl"),
        primary=study.primary,
        bootstrap=params.load(Bootstrap, "statistics", study.workspace.params),
    )


def _write(name: str, picture: Picture, root: Path, folder: Path) -> Shown:
    """Writes a figure's files; what is not drawn has one that says so, and none of pixels."""
    written = file_of(picture)
    artifacts.write_bytes(root / "figures" / f"{name}.svg", written)
    if isinstance(picture, Absent):
        return Shown(name, picture.reason, None)
    artifacts.write_bytes(folder / "figures" / f"{name}.png", png(picture.figure))
    return Shown(name, picture.title, written)


def _sampled(study: Study, n: int, n_layers: int) -> list[ShownTrace]:
    """Traces of the study, with what their tokens hold along both directions of some layers."""
    traces = sorted(study.traces, key=lambda one: ORDER.index(one.split))[:n]
    choice = read_choice(study.workspace.results("steer"))
    layers = study.store(study.roles.studied).layers
    told = {"P(backtrack)": _probability(study)}
    for layer in sorted(layers, key=lambda one: abs(one - choice.layer))[:n_layers]:
        known = {
            f"along {role}'s direction, layer {layer}": study.directions.find(
                Place(role, "matched", choice.window, layer)
            )
            for role in (study.roles.base, study.roles.studied)
        }
        # There is none of a class that never occurs.
        vectors = {name: vector for name, vector in known.items() if vector is not None}
        told |= projections(study, traces, layer, vectors)
    return sampled(study, traces, told)


def _probability(study: Study) -> ByTrace:
    """P(backtrack) at the decisions that were read without an edit."""
    found: ByTrace = defaultdict(dict)
    for one in read_all_measured(study.workspace.results("steer") / "measured"):
        if one.run in ("test", "dev") and one.target == study.roles.studied:
            name = P_BACK if P_BACK in one.arrays else P_OPEN
            for decision, value in zip(one.decisions, one.values(name)[0], strict=True):
                trace, _, position = decision.rpartition("@")
                if not np.isnan(value):
                    found[trace][int(position)] = float(value)
    return found


def _steered(study: Study, n: int) -> list[ShownTrace]:
    """Steered generations, read as the domain reads the traces of the study."""
    reading = Reading(study, open_domain(study.workspace.params))

    def show(role: str, trace: Trace) -> ShownTrace:
        sentences, grade = reading.read(role, trace)
        problem, tokenizer = reading.problems[trace.problem_id], reading.tokenizers[role]
        return of_study(trace, problem, list(map(with_rules, sentences)), grade, [], tokenizer)

    folder = study.workspace.results("steer") / "rollouts"
    return of_rollouts(read_rollouts(folder), n, show) if folder.is_dir() else []


if __name__ == "__main__":
    main()
