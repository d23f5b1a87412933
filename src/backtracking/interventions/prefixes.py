"""What models read while they are changed: traces, with where something is decided in them."""

from collections.abc import Sequence

import numpy as np

from backtracking.models.forced import Prefix
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Decisions
from backtracking.records.traces import Trace


def prefixes_of(
    traces: Sequence[Trace],
    sentences: Sentences,
    decisions: Decisions,
    split: str,
    n_samples: int | None = None,
) -> tuple[list[Prefix], Decisions]:
    """Prefixes of a split, and the decisions in them, in the same order.

    Traces in which nothing is decided have none.

    Args:
        traces: all traces, in the order of their file.
        sentences, decisions: of these traces.
        split: whose problems.
        n_samples: traces of each problem, if not all.
    """
    sample = np.array([trace.sample for trace in traces], dtype=np.int64)
    chosen = decisions.of(split=split).open()
    if n_samples is not None:
        chosen = chosen[sample[chosen.trace] < n_samples]
    chosen = chosen[np.argsort(chosen.trace, kind="stable")]
    prefixes = []
    for row in dict.fromkeys(chosen.trace.tolist()):
        trace = traces[row]
        positions = chosen.position[chosen.trace == row].tolist()
        ends = set((sentences.end[sentences.trace == row] - 1).tolist())
        other = sorted(ends - set(positions))
        prefixes.append(Prefix(trace.ids, len(trace.prompt_ids), positions, other))
    return prefixes, chosen


def prompts_of(traces: Sequence[Trace], split: str) -> dict[str, list[int]]:
    """The ids that a model reads before it writes, by problem of a split, in the traces' order."""
    return {trace.problem_id: trace.prompt_ids for trace in traces if trace.split == split}
