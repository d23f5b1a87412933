"""Traces of a study as people look at them: what `report` shows and `backtracking show` opens."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

from backtracking.records.choices import read_choice
from backtracking.records.grades import Grade, read_grades
from backtracking.records.places import Place
from backtracking.records.sentences import Sentence, read_sentences
from backtracking.records.traces import Trace
from backtracking.runtime.workspace import Workspace
from backtracking.stages.study import Study
from backtracking.view.shown import ShownTrace, pick
from backtracking.view.study import Numbered, of_study

if TYPE_CHECKING:  # torch: a stage without models does without it
    from jaxtyping import Float
    from torch import Tensor

ByTrace = dict[str, dict[int, float]]
"""A number by trace and position."""


def open_trace(root: Path, trace_id: str, layer: int | None = None) -> ShownTrace:
    """A sampled trace of the study with its labels, true kinds and grade.

    Args:
        root: the project, in which `label` has run.
        trace_id: of the trace, or how its name alone begins.
        layer: of `resid_post`, where its projections are wanted.

    Raises:
        UserError: where there is no such trace, and, with a layer, no such direction.
    """
    study = Study(Workspace(root))
    trace = pick(study.traces, trace_id, "the study")
    told: dict[str, ByTrace] = {}
    if layer is not None:
        window = read_choice(study.workspace.results("steer")).window
        vectors = {
            f"{role}'s direction": study.directions.get(Place(role, "matched", window, layer))
            for role in (study.roles.base, study.roles.studied)
        }
        told = projections(study, [trace], layer, vectors)
    return sampled(study, [trace], told)[0]


def sampled(study: Study, traces: Sequence[Trace], told: Mapping[str, ByTrace]) -> list[ShownTrace]:
    """Traces of the study with all that is known of their sentences and tokens.

    Args:
        study: its records.
        traces: those that are shown.
        told: numbers of their tokens, by what they are.
    """
    grades = _grades(study)
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


def projections(
    study: Study,
    traces: Sequence[Trace],
    layer: int,
    vectors: "Mapping[str, Float[Tensor, ' d_model']]",
) -> dict[str, ByTrace]:
    """What the studied model's stored tokens hold along each direction, in norms of that one."""
    store, found = study.store(study.roles.studied), {name: ByTrace() for name in vectors}
    number = {one.trace_id: at for at, one in enumerate(study.traces)}
    for one in traces:
        positions = np.arange(len(one.prompt_ids), len(one.ids))
        trace = np.full(len(positions), number[one.trace_id])
        is_there = store.has(trace, positions)
        held = store.gather(layer, trace[is_there], positions[is_there]).float()
        for name, vector in vectors.items():
            values = (held @ vector / (float(vector.norm()) ** 2 or 1)).tolist()
            found[name][one.trace_id] = dict(zip(positions[is_there].tolist(), values, strict=True))
    return found


def _grades(study: Study) -> dict[str, Grade]:
    path = study.workspace.results("grade") / "sampled.jsonl"
    return {one.trace_id: one for one in read_grades(path)} if path.is_file() else {}
