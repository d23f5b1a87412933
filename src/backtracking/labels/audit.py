"""Points of a study to be read by a person, and how often their kinds were right.

A kind that code tells from text is worth what a reader finds: `draw_points` chooses decisions
evenly over kinds, a person fills in `right`, and `precision_of` says how often each kind was.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from scipy.stats import binomtest

from backtracking.records import reader
from backtracking.records.sentences import Decision, Sentence, read_decisions, read_sentences
from backtracking.records.traces import Problem

BEFORE, AFTER = 4, 1
"""Sentences that are shown before and after."""


@dataclass(frozen=True)
class AuditPoint:
    """One decision to read.

    Attributes:
        decision_id: its name.
        kind: of the point after the sentence, as the domain has it.
        right: what the reader finds; None before.
        problem: as asked.
        before, sentence, after: what stands around it.
        value, target: as they were read.
        state: of the search, as it was read.
    """

    decision_id: str
    kind: str
    right: bool | None
    problem: str
    before: str
    sentence: str
    after: str
    value: float | None
    target: float | None
    state: str | None


@dataclass(frozen=True)
class Precision:
    """How often a kind was right.

    Attributes:
        kind: of the points.
        n: points that were read.
        value: share that is right.
        low, high: exact interval for shares (Clopper and Pearson), 95 %, as if no two points were
            of one trace.
    """

    kind: str
    n: int
    value: float
    low: float
    high: float


def write_points(
    labels: Path, problems: Path, file: Path, n: int, random: Random, kinds: Sequence[str] = ()
) -> int:
    """Draws points of a study into a file, and says how many.

    Args:
        labels: the folder of the stage `label`.
        problems: the file of the stage `problems`.
        file: JSON Lines, a point a line.
        n, random, kinds: as in `draw_points`.

    Raises:
        UserError: where the study has no labels, or a record of them is broken.
    """
    asked = {one.problem_id: one.prompt for one in reader.read_lines(Problem, problems)}
    points = draw_points(
        read_decisions(labels / "decisions.jsonl"),
        read_sentences(labels / "sentences.jsonl"),
        asked,
        n,
        random,
        kinds,
    )
    reader.write_lines(file, points)
    return len(points)


def read_points(file: Path) -> list[AuditPoint]:
    """The points of a file, with what its reader found.

    Raises:
        UserError: for a broken record, with file, line and key.
    """
    return reader.read_lines(AuditPoint, file, "`right` is true, false or null.")


def draw_points(
    decisions: Sequence[Decision],
    sentences: Sequence[Sentence],
    prompt_by_problem: Mapping[str, str],
    n: int,
    random: Random,
    kinds: Sequence[str] = (),
) -> list[AuditPoint]:
    """At most n decisions in any order, as evenly over kinds as there are.

    Args:
        decisions: of the study.
        sentences: of all its traces.
        prompt_by_problem: what was asked.
        n: how many.
        random: draws them.
        kinds: the only ones that are drawn; by default all.
    """
    by_kind: dict[str, list[Decision]] = defaultdict(list)
    for one in decisions:
        kind = one.truth.kind if one.truth else None
        if kind is not None and (not kinds or kind in kinds):
            by_kind[kind].append(one)
    for group in by_kind.values():
        random.shuffle(group)
    ranked = [(rank, one) for group in by_kind.values() for rank, one in enumerate(group)]
    chosen = [one for _, one in sorted(ranked, key=lambda pair: pair[0])[:n]]
    random.shuffle(chosen)
    by_trace: dict[str, list[Sentence]] = defaultdict(list)
    for sentence in sentences:
        by_trace[sentence.trace_id].append(sentence)
    return [_point(one, by_trace[one.trace_id], prompt_by_problem) for one in chosen]


def precision_of(points: Sequence[AuditPoint]) -> list[Precision]:
    """How often each kind is right, of the points that were read, by kind."""
    read: dict[str, list[bool]] = defaultdict(list)
    for one in points:
        if one.right is not None:
            read[one.kind].append(one.right)
    found = []
    for kind, right in sorted(read.items()):
        interval = binomtest(sum(right), len(right)).proportion_ci(0.95, "exact")
        share = sum(right) / len(right)
        found.append(Precision(kind, len(right), share, float(interval.low), float(interval.high)))
    return found


def _point(
    one: Decision, sentences: Sequence[Sentence], prompt_by_problem: Mapping[str, str]
) -> AuditPoint:
    at, truth = one.index, one.truth
    assert truth is not None and truth.kind is not None
    return AuditPoint(
        decision_id=one.decision_id,
        kind=truth.kind,
        right=None,
        problem=prompt_by_problem[one.problem_id],
        before="".join(it.text for it in sentences[max(0, at - BEFORE) : at]),
        sentence=sentences[at].text,
        after="".join(it.text for it in sentences[at + 1 : at + 1 + AFTER]),
        value=truth.value,
        target=truth.target,
        state=truth.search_state,
    )
