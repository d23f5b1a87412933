"""P(backtracking) by writing on: which decisions and arms are drawn, and what the draws did."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from jaxtyping import Bool, Float

from backtracking.directions.events import TurnReader
from backtracking.directions.stability import decoding
from backtracking.interventions.measure import is_asked, with_back
from backtracking.interventions.plan import Plan, Push, Read, no_push
from backtracking.models.forced import Prefix
from backtracking.models.loading import LoadedModel
from backtracking.models.resampling import Draws, has_room, write_on
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Decisions
from backtracking.records.drawn import (
    N_DRAWS,
    N_OPENED,
    N_OPENED_TURNED,
    N_TURNED,
    Drawn,
    Said,
)
from backtracking.records.measured import P_OPEN, RETRAINED, Array, Measured
from backtracking.records.openers import EVERY, OpenerCount
from backtracking.records.spans import Ordinal
from backtracking.records.tokens import Opener, TokenPath, Tokens, Turning
from lifeboat.stage import progress

PER_JOB = 16
"""Decisions of one job: what a kill may cost."""


@dataclass(frozen=True)
class Telling:
    """How it is told what was written.

    Attributes:
        turning: how it is read exactly; None where only words tell.
        end_ids: ids that end a trace.
        stops: ids that may end a sentence; empty where nobody says.
        labeller: by whose words.
        place_by_decision: where each decision's next sentence stands in its trace.
    """

    turning: Turning | None
    end_ids: tuple[int, ...]
    stops: frozenset[int]
    labeller: str
    place_by_decision: Mapping[str, Ordinal]

    @classmethod
    def of(cls, tokens: Tokens, labeller: str, places: Mapping[str, Ordinal]) -> "Telling":
        """As a study's words and its primary labeller have it."""
        exact = tokens.turning
        ends = [exact.stops] if exact else [one.slots[-1] or () for one in tokens.patterns]
        stops = frozenset[int]().union(*ends)
        return cls(tokens.turning, tokens.end_ids, stops, labeller, places)

    def at(self, decisions: Sequence[str]) -> "Telling":
        """For some decisions alone."""
        places = {name: self.place_by_decision[name] for name in decisions}
        return replace(self, place_by_decision=places)

    def reader(self, loaded: LoadedModel) -> TurnReader:
        """In a model's tokens; it decodes the same few of them again and again."""
        known = cache(decoding(loaded))

        def remembered(ids: Sequence[int]) -> str:
            return known(tuple(ids))

        return TurnReader(self.turning, self.end_ids, remembered, self.labeller)

    def may_be_done(self, ids: Sequence[int]) -> bool:
        """Whether the first sentence can be whole: its end was written, or the trace's."""
        return not self.stops or ids[-1] in self.end_ids or not self.stops.isdisjoint(ids)


@dataclass(frozen=True)
class Point:
    """One decision that is drawn at."""

    name: str
    column: int
    prefix: Prefix


def points_of(models: Sequence[LoadedModel], read: Read, plan: Plan) -> list[Point]:
    """Decisions of either class that all models have room behind, at most so many of each a trace.

    Of a trace and class, the first in an order that the plan's seed draws.
    """
    drawn, found, seen = plan.drawn, [], dict[tuple[int, int], int]()
    places = [(row, at) for row, one in enumerate(read.prefixes) for at in one.decisions]
    order = np.random.default_rng(plan.seed).permutation(len(places))
    for column in order.tolist():
        (row, at), sign = places[column], read.claimed[column]
        if sign == 0 or not all(has_room(one, at + 1, plan.draws.sampling) for one in models):
            continue
        seen[row, sign] = seen.get((row, sign), 0) + 1
        if drawn.per_trace is None or seen[row, sign] <= drawn.per_trace:
            found.append(Point(read.decisions[column], column, _cut(read.prefixes[row], at)))
    return sorted(found, key=lambda one: one.column)


def drawn_arms(
    plan: Plan, pushes: Sequence[Push], p_open: Float[np.ndarray, "arms decisions"]
) -> list[int]:
    """Arms that are drawn: all edits but added doses that the plan does not name, and directions
    that were estimated again; of nulls, those that move P(an opener) most, and as many others.
    """
    drawn = plan.drawn
    rows = with_back(pushes, p_open, drawn.n_null).tolist()
    return [row for row in rows if _is_drawn(pushes[row], drawn.doses)]


def _is_drawn(push: Push, doses: Sequence[float]) -> bool:
    arm = push.arm
    return arm.group != RETRAINED and (arm.edit != "add" or arm.dose in doses)


def drawing_jobs(
    plan: Plan,
    forced: partial[Measured],
    found: Measured,
    telling: Telling,
    paths: Sequence[TokenPath],
    models: Sequence[LoadedModel],
) -> list[partial[Drawn]]:
    """A run's arms, drawn where the plan has it, in jobs of a few decisions each.

    Args:
        plan: how much is drawn.
        forced: the run, a `partial` of `measure.force`.
        found: what it measured.
        telling: how it is told what was written.
        paths: of the openers that count.
        models: all that are steered, so that each is drawn at the same decisions.
    """
    loaded, target, run, layer, read, every, *_ = forced.args
    rows = drawn_arms(plan, every, found.values(P_OPEN))
    pushes, points = [every[row] for row in rows], points_of(models, read, plan)
    asked, kept = asked_of(read, every, rows, points), kept_texts(pushes, plan.drawn.n_texts)
    jobs = []
    for first in range(0, len(points), PER_JOB):
        some = slice(first, first + PER_JOB)
        told = telling.at([one.name for one in points[some]])
        where = loaded, target, run, layer, points[some], asked[:, some], pushes, kept, paths
        jobs.append(partial(draw_sentences, *where, told, plan.draws))
    return jobs


def draw_sentences(
    loaded: LoadedModel,
    target: str,
    run: str,
    layer: int,
    points: Sequence[Point],
    asked: Bool[np.ndarray, "arms points"],
    pushes: Sequence[Push],
    kept: Sequence[int],
    paths: Sequence[TokenPath],
    telling: Telling,
    draws: Draws,
) -> Drawn:
    """The next sentence at every decision under every arm, many times, and what it does.

    Args:
        loaded: the model that writes.
        target: its role.
        run: what the run is called.
        layer: whose output is edited.
        points: decisions.
        asked: which arm is drawn at which.
        pushes: the arms, the baseline first.
        kept: numbers of the arms whose texts are kept.
        paths: of the openers that count.
        telling: how it is told what was written.
        draws: how many and how.
    """
    names = (N_DRAWS, N_TURNED, N_OPENED, N_OPENED_TURNED)
    arrays = {name: np.full(asked.shape, np.nan) for name in names}
    said = []
    with progress.bar(f"writing on in {target}", int(asked.sum()), "edits") as advance:
        for column, point in enumerate(points):
            rows = np.flatnonzero(asked[:, column]).tolist()
            drawn = _draw(loaded, layer, point, [pushes[row] for row in rows], telling, draws)
            for row, its in zip(rows, drawn, strict=True):
                opened = np.array([begins(one.ids, paths) for one in its], dtype=bool)
                turned = np.array([one.turned for one in its], dtype=bool)
                counts = len(its), turned.sum(), opened.sum(), (opened & turned).sum()
                for name, count in zip(names, counts, strict=True):
                    arrays[name][row, column] = count
                if row in kept:
                    texts = tuple(one.text for one in its)
                    said.append(Said(row, point.name, texts, tuple(turned.tolist())))
            advance(len(rows))
    found = {name: Array("decisions", values) for name, values in arrays.items()}
    arms, decisions = tuple(push.arm for push in pushes), tuple(one.name for one in points)
    return Drawn(Measured(target, run, arms, found, decisions), tuple(said))


def count_openers(
    loaded: LoadedModel,
    points: Sequence[Point],
    openers: Sequence[Opener],
    newlines: Sequence[int],
    telling: Telling,
    draws: Draws,
) -> tuple[OpenerCount, ...]:
    """Draws without an edit, and those that backtrack: all of them, then after each candidate.

    Args:
        openers: the candidates; the first that a draw begins with has it.
        newlines: ids of new lines that may stand before them.
        loaded, points, telling, draws: as in `draw_sentences`.
    """
    none = [no_push(loaded.d_model)]
    drawn = [
        one
        for point in points
        for its in _draw(loaded, 0, point, none, telling, draws)
        for one in its
    ]
    owner: list[str | None] = []
    for one in drawn:
        ids = one.ids[1:] if one.ids and one.ids[0] in newlines else one.ids
        names = (opener.ids.name for opener in openers if begins(ids, opener.paths))
        owner.append(next(names, None))
    counts = [OpenerCount(EVERY, len(drawn), sum(one.turned for one in drawn))]
    for opener in openers:
        its = [one for one, name in zip(drawn, owner, strict=True) if name == opener.ids.name]
        counts.append(OpenerCount(opener.ids.name, len(its), sum(one.turned for one in its)))
    return tuple(counts)


def places_after(decisions: Decisions, sentences: Sentences) -> dict[str, Ordinal]:
    """Where the sentence after each decision stands in its trace."""
    n_by_trace = Counter(sentences.trace_id.tolist())
    where = zip(decisions.ids, decisions.trace_id, decisions.index.tolist(), strict=True)
    return {name: Ordinal(index + 1, n_by_trace[trace]) for name, trace, index in where}


def begins(ids: Sequence[int], paths: Sequence[TokenPath]) -> bool:
    """Whether ids begin with any of the paths."""
    return any(tuple(ids[: len(path)]) == path for path in paths)


def asked_of(
    read: Read, pushes: Sequence[Push], rows: Sequence[int], points: Sequence[Point]
) -> Bool[np.ndarray, "arms points"]:
    """Where some of the arms are drawn: at these decisions, where they are run at all."""
    columns = [one.column for one in points]
    return is_asked(read, [pushes[row] for row in rows])[:, columns]


def kept_texts(pushes: Sequence[Push], n_null: int) -> tuple[int, ...]:
    """Arms whose texts are kept: all but nulls, and of each null and dose the first so many.

    These are drawn whatever they do (`measure.with_back`), and were not chosen for it.
    """
    found = [row for row, one in enumerate(pushes) if not one.is_null]
    for key in dict.fromkeys((one.arm.group, one.arm.dose) for one in pushes if one.is_null):
        its = [n for n, one in enumerate(pushes) if (one.arm.group, one.arm.dose) == key]
        found += its[:n_null]
    return tuple(sorted(found))


@dataclass(frozen=True)
class _Written:
    ids: list[int]
    text: str
    turned: bool


def _draw(
    loaded: LoadedModel,
    layer: int,
    point: Point,
    pushes: Sequence[Push],
    telling: Telling,
    draws: Draws,
) -> list[list[_Written]]:
    reader, place = telling.reader(loaded), telling.place_by_decision[point.name]

    def is_done(ids: list[int]) -> bool:
        return telling.may_be_done(ids) and reader.first_sentence(ids)[1]

    edits = [push.edit for push in pushes]
    written = write_on(loaded, layer, point.prefix, edits, point.name, draws, is_done)
    return [[_read(reader, ids, place) for ids in its] for its in written]


def _read(reader: TurnReader, ids: list[int], place: Ordinal) -> _Written:
    turn = reader.turn_of(ids, place)
    text = reader.decode(reader.first_sentence(ids)[0]).strip()
    return _Written(ids, text, turn is not None and turn.is_backtracking)


def _cut(prefix: Prefix, at: int) -> Prefix:
    """Up to one of its decisions."""
    ids, donor = prefix.ids[: at + 1], prefix.donor_ids[: at + 1]
    return Prefix(ids, prefix.n_prompt, [at], donor_ids=donor)
