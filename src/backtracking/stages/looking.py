"""One trace of a study as people look at it; no stage, but what `backtracking show` opens."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from backtracking.records.choices import read_choice
from backtracking.records.grades import read_grades
from backtracking.records.places import Place
from backtracking.records.sentences import read_sentences
from backtracking.records.traces import Trace
from backtracking.runtime.workspace import Workspace
from backtracking.stages.study import Study
from backtracking.view.shown import ShownTrace, pick
from backtracking.view.study import Numbered, of_study


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
    problem = next(one for one in study.problems if one.problem_id == trace.problem_id)
    read = read_sentences(study.workspace.labels / "sentences.jsonl")
    sentences = [one for one in read if one.trace_id == trace.trace_id]
    graded = study.workspace.results("grade") / "sampled.jsonl"
    grades = read_grades(graded) if graded.is_file() else []
    grade = next((one for one in grades if one.trace_id == trace.trace_id), None)
    roles = () if layer is None else (study.roles.base, study.roles.studied)
    numbers = [project(study, trace, role, layer or 0) for role in roles]
    folder = study.workspace.model(study.roles.studied)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return of_study(trace, problem, sentences, grade, numbers, tokenizer)


def project(study: Study, trace: Trace, role: str, layer: int) -> Numbered:
    """What the studied model's stored tokens of a trace hold along a role's direction.

    In norms of that direction, at the window that `steer` chose.
    """
    window = read_choice(study.workspace.results("steer")).window
    vector = study.directions.get(Place(role, "matched", window, layer))
    store = study.store(study.roles.studied)
    number = [one.trace_id for one in study.traces].index(trace.trace_id)
    positions = np.arange(len(trace.prompt_ids), len(trace.ids))
    positions = positions[store.has(np.full(len(positions), number), positions)]
    held = store.gather(layer, np.full(len(positions), number), positions).float() @ vector
    values = (held / float(vector.norm()) ** 2).tolist()
    name = f"{role}'s direction"
    return Numbered(name, dict(zip(positions.tolist(), values, strict=True)))
