"""What does it look like? One page: the finding, the claims, the figure, and every trace.

Reads: data/raw/problems, data/interim/traces, data/processed/labels, data/interim/activations,
    results/grade, results/directions, results/steer, results/*.json, results/tables, figures
Writes: results/report/index.html, which opens from disk, without a network
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from backtracking.records.choices import Choice, read_choice
from backtracking.records.grades import Grade, read_grades
from backtracking.records.measured import P_BACK, P_OPEN, read_all_measured
from backtracking.records.places import Place
from backtracking.records.rollouts import read_rollouts
from backtracking.records.sentences import Sentence, read_sentences
from backtracking.records.traces import Trace
from backtracking.report.committed import open_results
from backtracking.report.sections import sections
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Workspace
from backtracking.stages.study import Study
from backtracking.view.page import page
from backtracking.view.shown import ShownTrace
from backtracking.view.study import Numbered, of_rollouts, of_study
from lifeboat.stage import artifacts


@dataclass(frozen=True)
class Params:
    """How much is shown.

    Attributes:
        n_traces: sampled traces, those of test problems first.
        n_steered: problems whose steered generations stand beside the unsteered one.
    """

    n_traces: int
    n_steered: int

    def __post_init__(self) -> None:
        if min(self.n_traces, self.n_steered) < 0:
            raise ValueError("n_traces and n_steered must be 0 or more.")


ORDER = ("test", "dev", "train")


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the page."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "report", workspace.params)
    study = Study(workspace)
    title = f"{params.load_value(str, 'domain.name', workspace.params)}: what was found"
    shown = [*_sampled(study, params_.n_traces), *_steered(study, params_.n_steered)]
    markup = sections(open_results(workspace.root), workspace.root / "figures" / "dose.svg")
    with artifacts.new_folder(workspace.results("report")) as folder:
        artifacts.write_text(folder / "index.html", page(title, shown, markup))
    print(f"{len(shown)} traces")


def _sampled(study: Study, n: int) -> list[ShownTrace]:
    """Traces of the study with all that is known of their sentences and tokens."""
    traces = sorted(study.traces, key=lambda one: ORDER.index(one.split))[:n]
    choice, grades = read_choice(study.workspace.results("steer")), _grades(study)
    told: dict[str, dict[str, dict[int, float]]] = {
        f"along {role}'s direction, layer {choice.layer}": _projections(study, traces, role, choice)
        for role in (study.roles.base, study.roles.studied)
    }
    told["P(backtrack)"] = _probability(study)
    sentences: dict[str, list[Sentence]] = defaultdict(list)
    for one in read_sentences(study.workspace.labels / "sentences.jsonl"):
        sentences[one.trace_id].append(one)
    problems = {one.problem_id: one for one in study.problems}
    folder = study.workspace.model(study.roles.studied)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [
        of_study(
            one,
            problems[one.problem_id],
            sentences[one.trace_id],
            grades.get(one.trace_id),
            [Numbered(name, by_trace.get(one.trace_id, {})) for name, by_trace in told.items()],
            tokenizer,
        )
        for one in traces
    ]


def _projections(
    study: Study, traces: Sequence[Trace], role: str, choice: Choice
) -> dict[str, dict[int, float]]:
    """What the studied model's stored tokens hold along a role's direction, in its own norms."""
    vector = study.directions.get(Place(role, "matched", choice.window, choice.layer))
    store, norm = study.store(study.roles.studied), float(vector.norm())
    number = {one.trace_id: at for at, one in enumerate(study.traces)}
    found: dict[str, dict[int, float]] = {}
    for one in traces:
        positions = np.arange(len(one.prompt_ids), len(one.ids))
        trace = np.full(len(positions), number[one.trace_id])
        is_there = store.has(trace, positions)
        held = store.gather(choice.layer, trace[is_there], positions[is_there]).float() @ vector
        values = (held / norm**2 if norm else held).tolist()
        found[one.trace_id] = dict(zip(positions[is_there].tolist(), values, strict=True))
    return found


def _probability(study: Study) -> dict[str, dict[int, float]]:
    """P(backtrack) at the decisions that were read without an edit, by trace and position."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for one in read_all_measured(study.workspace.results("steer") / "measured"):
        if one.run in ("test", "dev") and one.target == study.roles.studied:
            name = P_BACK if P_BACK in one.arrays else P_OPEN
            for decision, value in zip(one.decisions, one.values(name)[0], strict=True):
                trace, _, position = decision.rpartition("@")
                if not np.isnan(value):
                    found[trace][int(position)] = float(value)
    return found


def _grades(study: Study) -> dict[str, Grade]:
    path = study.workspace.results("grade") / "sampled.jsonl"
    return {one.trace_id: one for one in read_grades(path)} if path.is_file() else {}


def _steered(study: Study, n: int) -> list[ShownTrace]:
    folder = study.workspace.results("steer") / "rollouts"
    problems = {one.problem_id: one for one in study.problems}
    return of_rollouts(read_rollouts(folder), problems, n) if folder.is_dir() else []


if __name__ == "__main__":
    main()
