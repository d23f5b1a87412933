"""All figures of a study by name, in the order in which a page shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backtracking.claims.literature.study import Study
from backtracking.figures.components import components
from backtracking.figures.dose import dose
from backtracking.figures.graph import transition_graph
from backtracking.figures.labels import agreement, transitions
from backtracking.figures.leakage import leakage
from backtracking.figures.lens import lens
from backtracking.figures.picture import Picture
from backtracking.figures.probe import probe_grid
from backtracking.figures.shares import beside, following
from backtracking.figures.stability import stability
from backtracking.figures.states import state_models
from backtracking.figures.training import Losses, training
from backtracking.figures.transfer import transfer
from backtracking.records.sentences import Sentence
from backtracking.records.traces import Trace
from backtracking.statistics.bootstrap import Bootstrap

NAMES = (
    "dose",
    "transfer",
    "leakage",
    "probe_grid",
    "lens",
    "components",
    "transitions",
    "transition_graph",
    "state_models",
    "stability",
    "agreement",
    "training",
)
"""Every study has a file of each of these names."""


@dataclass(frozen=True)
class Found:
    """What stages found, as far as figures show it.

    Attributes:
        study: all tables.
        losses: of the trainings.
        traces, sentences: with their labels.
        primary: the labeller that the study rests on.
        bootstrap: for intervals by problem.
    """

    study: Study
    losses: Losses
    traces: Sequence[Trace]
    sentences: Sequence[Sentence]
    primary: str
    bootstrap: Bootstrap


def draw(found: Found) -> Mapping[str, Picture]:
    """Every figure by its name, or why it is not drawn."""
    study = found.study
    made = {
        one.__name__: one(study)
        for one in (
            dose, transfer, leakage, probe_grid, lens, components, state_models, stability,
        )
    }  # fmt: skip
    made |= {"training": training(study, found.losses)} | _of_labels(found)
    return {name: made[name] for name in NAMES}


def _of_labels(found: Found) -> dict[str, Picture]:
    problem = {one.trace_id: one.problem_id for one in found.traces}
    ended = {one.trace_id: one.finish_reason == "stop" for one in found.traces}
    others = {name for one in found.sentences for name in one.label_by} - {found.primary}
    other = min(others, default="")
    both, f1 = beside(found.sentences, found.primary, other, problem, found.bootstrap)
    after = following(found.sentences, found.primary, problem, ended, found.bootstrap)
    return {
        "transitions": transitions(after),
        "transition_graph": transition_graph(after),
        "agreement": agreement(both, found.primary, other, f1),
    }
