"""All labellers on all human-labelled traces: what `backtracking bench-labels` says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backtracking.labels.annotators import Annotator, annotation_of, speechless
from backtracking.labels.examples import FILES_BY_SOURCE, FLOWS
from backtracking.labels.learned import Learned
from backtracking.labels.markers import FIELD, MarkedRules
from backtracking.labels.passages import Labeller
from backtracking.labels.schemes import is_held_back
from backtracking.labels.scoring import score
from backtracking.records.imported import ImportedTrace, read_traces
from backtracking.records.rows.labellers import LabellerAgreement, Subset
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage.errors import UserError

SUBSETS: tuple[Subset, ...] = ("held-back", "open", "all")
Kind = Literal["ours", "judge", "human"]


@dataclass(frozen=True)
class Scored:
    """Who is scored, and as what."""

    name: str
    kind: Kind
    labeller: Labeller


def benchmark(folder: Path, bootstrap: Bootstrap) -> list[LabellerAgreement]:
    """Every labeller's agreement with the first human of each trace.

    Raises:
        UserError: where a file of traces is missing.
    """
    return [row for file in FILES_BY_SOURCE[FLOWS] for row in _rows_of(folder / file, bootstrap)]


def left_out(folder: Path) -> list[str]:
    """Files of traces of a folder by which nobody is scored, each with the reason."""
    scored = FILES_BY_SOURCE[FLOWS]
    files = (one for one in sorted(folder.glob("*.jsonl*")) if one.name not in scored)
    return [f"{file.name}: {_why_not(file)}" for file in files]


def _why_not(file: Path) -> str:
    try:
        traces = read_traces(file)
    except UserError:
        return "it has no traces."
    why = "not one of the files whose humans' labels tell backtracking by itself."
    if not any(one.kind == "human" for trace in traces for one in trace.annotations):
        why = "no human labelled it."
    return speechless(traces, "human") or why


def _rows_of(path: Path, bootstrap: Bootstrap) -> Iterator[LabellerAgreement]:
    traces = [trace for trace in read_traces(path) if annotation_of(trace, "human")]
    for subset in SUBSETS:
        its = [one for one in traces if subset == "all" or _is_in(one, subset)]
        for scored in _labellers(its):
            found = score(its, scored.labeller, "human", bootstrap)
            yield LabellerAgreement(
                source=path.name.partition(".")[0],
                subset=subset,
                labeller=scored.name,
                kind=scored.kind,
                n=found.n,
                n_traces=found.n_traces,
                n_positive=found.n_positive,
                n_called=found.n_called,
                kappa=found.intervals.kappa,
                f1=found.intervals.f1,
                precision=found.intervals.precision,
                recall=found.intervals.recall,
            )


def _labellers(traces: Sequence[ImportedTrace]) -> list[Scored]:
    """Ours, and all annotators but the first humans, in the order of their names."""
    ours: list[Scored] = [
        Scored(FIELD, "ours", MarkedRules.load(FIELD)),
        Scored("rules", "ours", MarkedRules.load()),
        Scored("learned", "ours", Learned.load()),
    ]
    first = {one.name for one in (annotation_of(trace, "human") for trace in traces) if one}
    kinds: dict[str, Kind] = {
        one.name: "human" if one.kind == "human" else "judge"
        for trace in traces
        for one in trace.annotations
        if one.name not in first
    }
    others = [Scored(name, kinds[name], Annotator.of(traces, name)) for name in sorted(kinds)]
    return [*ours, *others]


def _is_in(trace: ImportedTrace, subset: Subset) -> bool:
    return is_held_back(trace.trace_id) == (subset == "held-back")
