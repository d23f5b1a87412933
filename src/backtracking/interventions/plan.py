"""How steering is measured, what is read, and what an arm is made of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.directions.nulls import PROVIDERS
from backtracking.directions.vectors import random_directions
from backtracking.interventions.prefixes import prefixes_of
from backtracking.models import forced
from backtracking.models.endpoints import Counted
from backtracking.models.forced import Prefix
from backtracking.models.resampling import Draws
from backtracking.models.sampling import Sampling
from backtracking.records import measured
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.pairs import MinimalPair, distinct
from backtracking.records.tokens import Tokens
from backtracking.records.traces import Trace


@dataclass(frozen=True)
class Drawing:
    """How P(backtracking) is read by writing on, where no domain reads it from openers.

    Attributes:
        n: draws of the next sentence at each decision under each arm; 0: none is drawn, which is
            for domains that read it exactly.
        max_new_tokens: length at which a draw is cut.
        temperature: of the draws; at 1 they are comparable with P(an opener).
        doses: of directions that are added; affine edits and the donor's state are drawn at all.
        n_null: of each null, the directions that move P(an opener) most, and as many others.
        n_texts: of the others, those whose texts are kept.
        per_trace: decisions of each class of a trace, at most; null: all.
        rows_per_batch: draws in one call of the model.
    """

    n: int
    max_new_tokens: int
    temperature: float
    doses: tuple[float, ...]
    n_null: int
    n_texts: int
    per_trace: int | None
    rows_per_batch: int

    def __post_init__(self) -> None:
        least = min(self.max_new_tokens, self.n_null, self.n_texts, self.rows_per_batch)
        if self.n < 0 or least < 1 or (self.per_trace is not None and self.per_trace < 1):
            raise ValueError(
                "`n` must be 0 or more, and max_new_tokens, n_null, n_texts, rows_per_batch and "
                "per_trace 1 or more."
            )


@dataclass(frozen=True)
class Plan:
    """How steering is measured.

    Attributes:
        doses: signed, in class distances of the model that is steered: the norm of its own matched
            direction at the chosen layer and window. 1 and -1 must be among them; in other models
            than the studied one, these two alone are run.
        n_samples: traces of each test problem that are teacher-forced.
        n_random: random directions that are added.
        n_few_random: of them, on dev and at other doses than 1 and -1: there their mean counts.
        n_free_random: of them, in free runs.
        n_null: directions of each null (`directions.nulls`) beside the affine edit.
        n_null_back: of them, those that move P(an opener) most, and as many others, at which
            P(backtrack) is read as well.
        drawn: how P(backtrack) is read by writing on.
        n_retrained: times that a direction is estimated again, from train problems drawn anew, so
            that intervals hold for these too.
        n_reports: decisions at which the model is asked to report.
        min_agreement: least agreement of other predictions on dev for a dose to be usable.
        min_legal: least mass on tokens that may stand there, on dev, for a place to be usable.
        max_new_tokens: length at which free runs are cut.
        rows_per_batch: prefixes times arms in one call of the model.
        edits_per_batch: arms times decisions in one, where each is read by itself.
        seed: of random directions, of nulls and of free runs.
    """

    doses: tuple[float, ...]
    n_samples: int
    n_random: int
    n_few_random: int
    n_free_random: int
    n_null: int
    n_null_back: int
    drawn: Drawing
    n_retrained: int
    n_reports: int
    min_agreement: float
    min_legal: float
    max_new_tokens: int
    rows_per_batch: int
    edits_per_batch: int
    seed: int

    def __post_init__(self) -> None:
        if not {1.0, -1.0} <= set(self.doses) or 0.0 in self.doses:
            raise ValueError(f"doses {list(self.doses)} must hold 1 and -1, and not 0.")
        if not 0 < min(few := (self.n_few_random, self.n_free_random)) <= max(few) <= self.n_random:
            raise ValueError(
                "n_few_random and n_free_random must be 1 or more, and at most n_random."
            )
        names = ("n_samples", "n_null", "n_null_back", "n_retrained", "n_reports")
        names += ("max_new_tokens", "rows_per_batch", "edits_per_batch")
        if min(getattr(self, name) for name in names) < 1:
            raise ValueError(f"{', '.join(names)} must be 1 or more.")

    @property
    def draws(self) -> Draws:
        """How often, and how, the next sentence is drawn."""
        drawn = self.drawn
        sampling = Sampling(self.seed, drawn.temperature, drawn.max_new_tokens)
        return Draws(drawn.n, sampling, drawn.rows_per_batch)


@dataclass(frozen=True)
class Words:
    """Whose probabilities are read: at decisions what is counted there, elsewhere the marker."""

    counted: Counted
    marker_ids: tuple[int, ...]

    @classmethod
    def of(cls, tokens: Tokens) -> "Words":
        """Those of a study; none where its domain has none."""
        legal = tokens.legal.ids if tokens.legal else ()
        marker_ids = tokens.marker.ids if tokens.marker else ()
        counted = Counted(tokens.openers, legal, tokens.newlines, tokens.turning is not None)
        return cls(counted, marker_ids)

    def with_only(self, names: Sequence[str]) -> "Words":
        """With some of the openers alone, by their names."""
        openers = tuple(one for one in self.counted.openers if one.ids.name in names)
        return replace(self, counted=replace(self.counted, openers=openers))


@dataclass(frozen=True)
class Read:
    """What every arm of a run reads.

    Attributes:
        prefixes: token ids with the decisions in them.
        trace_ids: the trace of each prefix.
        decisions: names of all decisions, in the order of the prefixes.
        claimed: the sign of the edits that are claimed to move each: 1 where the decision is of the
            negative class, so that the other class is the positive one, -1 of the positive, else 0.
    """

    prefixes: tuple[Prefix, ...]
    trace_ids: tuple[str, ...]
    decisions: tuple[str, ...]
    claimed: tuple[int, ...]


@dataclass(frozen=True)
class Push:
    """An arm, and the vector that makes it one.

    Attributes:
        arm: as it stands in what is written.
        edit: as the model takes it.
        cosine: of the direction with the one that it is held against; NaN where there is none.
    """

    arm: measured.Arm
    edit: forced.Arm
    cosine: float = math.nan

    @property
    def is_null(self) -> bool:
        """Whether it is one of a group that others are held against."""
        return self.arm.group in (*PROVIDERS, measured.RANDOM, measured.SHUFFLED)


def no_push(d_model: int) -> Push:
    """The baseline."""
    return Push(measured.baseline(), forced.Arm(torch.zeros(d_model)))


def read_split(
    traces: Sequence[Trace],
    sentences: Sentences,
    decisions: Decisions,
    classes: Classes,
    split: str,
    n_samples: int,
) -> tuple[Read, Decisions]:
    """What is read of a split, and its decisions in the same order."""
    prefixes, chosen = prefixes_of(traces, sentences, decisions, split, n_samples)
    trace_ids = tuple(dict.fromkeys(chosen.trace_id.tolist()))
    return Read(tuple(prefixes), trace_ids, tuple(chosen.ids), claimed(chosen, classes)), chosen


def behind(read: Read, problems: Sequence[str], prompts: Mapping[str, Sequence[int]]) -> Read:
    """The same text and decisions, behind other prompts; what has none is left out.

    Args:
        read: what is read.
        problems: of each of its prefixes.
        prompts: ids, by problem.
    """
    kept = [row for row, one in enumerate(problems) if one in prompts]
    owner = [row for row, one in enumerate(read.prefixes) for _ in one.decisions]
    columns = [column for column, row in enumerate(owner) if problems[row] in prompts]
    return Read(
        tuple(_behind(read.prefixes[row], list(prompts[problems[row]])) for row in kept),
        tuple(read.trace_ids[row] for row in kept),
        tuple(read.decisions[column] for column in columns),
        tuple(read.claimed[column] for column in columns),
    )


def _behind(prefix: Prefix, prompt: list[int]) -> Prefix:
    by = len(prompt) - prefix.n_prompt
    places = [[at + by for at in its] for its in (prefix.decisions, prefix.sentence_ends)]
    return Prefix([*prompt, *prefix.ids[prefix.n_prompt :]], len(prompt), *places)


def read_up_to(
    traces: Sequence[Trace],
    decisions: Decisions,
    classes: Classes,
    donor_by_id: Mapping[str, Sequence[int]] | None = None,
) -> Read:
    """Prefixes that are cut after one decision each, with their donors where they have some."""
    prefixes = []
    places = zip(decisions.trace.tolist(), decisions.position.tolist(), decisions.ids, strict=True)
    for row, position, name in places:
        trace, donor = traces[row], list((donor_by_id or {}).get(name, ()))
        ids = trace.ids[: position + 1]
        prefixes.append(Prefix(ids, len(trace.prompt_ids), [position], donor_ids=donor))
    trace_ids = tuple(decisions.trace_id.tolist())
    return Read(tuple(prefixes), trace_ids, tuple(decisions.ids), claimed(decisions, classes))


def read_pairs(
    traces: Sequence[Trace],
    decisions: Decisions,
    classes: Classes,
    pairs: Sequence[MinimalPair],
) -> Read:
    """Test decisions of the negative class that have a donor, the same prefix once."""
    test = [one for one in pairs if one.split == "test" and one.donor_kind is not None]
    donor_by_id = {one.pair_id: one.donor_ids for one in distinct(test)}
    has_donor = np.array([name in donor_by_id for name in decisions.ids], dtype=bool)
    chosen = decisions[has_donor & decisions.is_negative(classes)]
    return read_up_to(traces, chosen, classes, donor_by_id)


def swapped(read: Read) -> Read:
    """The donors' prefixes, each with what it is the donor of as its own, under the same names.

    So decisions of the negative class stand for what their donors are: the positive one.
    """
    prefixes = (replace(one, ids=one.donor_ids, donor_ids=one.ids) for one in read.prefixes)
    signs = tuple(-sign for sign in read.claimed)
    return replace(read, prefixes=tuple(prefixes), claimed=signs)


def claimed(decisions: Decisions, classes: Classes) -> tuple[int, ...]:
    """What `Read.claimed` is of decisions."""
    live, dead = decisions.is_negative(classes), decisions.is_positive(classes)
    return tuple((live.astype(int) - dead.astype(int)).tolist())


def random_units(plan: Plan, d_model: int) -> dict[str, Float[Tensor, " d_model"]]:
    """The same random unit vectors, by name, for every target and every kind of run."""
    generator = torch.Generator().manual_seed(plan.seed)
    rows = random_directions(plan.n_random, d_model, generator).float()
    return {f"{measured.RANDOM}_{number}": row for number, row in enumerate(rows)}
