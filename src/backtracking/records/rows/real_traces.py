"""Tables of what real traces of other people's models say; git holds them, not the traces.

Intervals are by trace; those of chains and of the self-exciting process, which are held out by
problem, are by problem.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from backtracking.records.decoding import INLINED
from backtracking.records.intervals import Interval
from backtracking.records.rows.table import Row
from backtracking.records.rows.transitions import Compared

Events = Literal["wait", "tag"]
"""What counts as backtracking: a sentence that begins with "Wait", or the judge's tag."""

Definition = Literal["first word", "first words", "rules"]
"""What counts as an event: "Wait" first, "wait" among the first words, or markers of `rules`."""

Place = Literal["any", "opens a line", "within a line"]
"""Where a sentence stands."""


@dataclass(frozen=True)
class Source(Row):
    """A file of traces.

    Attributes:
        file: its name.
        sha256: of its bytes.
        n_lines: traces, or positions of resampling.
        repository, commit, licence: of what it was taken from.
    """

    FILE: ClassVar[str] = "real_traces/sources"
    file: str
    sha256: str
    n_lines: int
    repository: str
    commit: str
    licence: str


@dataclass(frozen=True)
class Stability(Row):
    """How often sentences come back when the model writes on again from the prefix before them.

    Attributes:
        begins: how the sentences begin: with "Wait", or in any other way.
        place: where they stand.
        n, n_traces: sentences, and traces that they are from.
        mean, median: share of continuations that begin with "Wait".
        below_half, below_most: sentences of which that share is below 0.5, and below 0.8.
        rates_below_half, rates_below_most: the same of the rates behind, whatever the draws.
        of_ten: sentences that fewer than 8 of 10 draws repeat.
        never: sentences that no draw repeats.
    """

    FILE: ClassVar[str] = "real_traces/stability"
    begins: Literal["wait", "other"]
    place: Place
    n: int
    n_traces: int
    mean: Interval
    median: Interval
    below_half: Interval
    below_most: Interval
    rates_below_half: Interval
    rates_below_most: Interval
    of_ten: Interval
    never: Interval


@dataclass(frozen=True)
class StabilityBin(Row):
    """A tenth of the scale, of all sentences that begin with "Wait".

    Attributes:
        low, high: its ends; the last holds 1.
        share: of the sentences, by the share of their continuations that begin with "Wait".
    """

    FILE: ClassVar[str] = "real_traces/distribution"
    low: float
    high: float
    share: Interval


@dataclass(frozen=True)
class OneMoreDraw(Row):
    """Whether the sentence that stands in a trace is like one more draw from its prefix.

    Attributes:
        place: where the sentences stand.
        n: positions.
        n_wait: of them, those whose sentence begins with "Wait".
        expected: how many do by the continuations.
        ratio: `expected` over `n_wait`; 1 where they are alike.
        mean, below_half, below_most, of_ten: of the sentences that begin with "Wait", as in
            `Stability`, if each were one more draw.
    """

    FILE: ClassVar[str] = "real_traces/one_more_draw"
    place: Place
    n: int
    n_wait: int
    expected: float
    ratio: Interval
    mean: Interval
    below_half: Interval
    below_most: Interval
    of_ten: Interval


@dataclass(frozen=True)
class ByDefinition(Row):
    """Stability by what counts as an event, where the continuations are known in words.

    Attributes:
        definition: what counts.
        n_positions, n_events: prefixes, and those after which the trace has an event.
        ratio: as in `OneMoreDraw`.
        mean, of_ten: as in `Stability`.
    """

    FILE: ClassVar[str] = "real_traces/definitions"
    definition: Definition
    n_positions: int
    n_events: int
    ratio: Interval
    mean: Interval
    of_ten: Interval


@dataclass(frozen=True)
class Order(Row):
    """How well a chain over a judge's tags predicts problems that it was not fitted on.

    Attributes:
        model: its class, as in `transitions.registry`.
        score: nats a sentence, beside the first-order chain.
    """

    FILE: ClassVar[str] = "real_traces/order"
    model: str
    score: Compared = field(metadata=INLINED)


@dataclass(frozen=True)
class OrderNull(Row):
    """A chain's gain over the first-order one beside that in traces that are first-order chains.

    Attributes:
        model: its class.
        gain: nats a sentence by which it predicts better.
        null_mean, null_high: mean and largest gain among the traces that were drawn with the same
            first sentence and the same number of every transition, each within itself.
        p: of a gain as large among them.
        n: how often they were drawn.
    """

    FILE: ClassVar[str] = "real_traces/order_null"
    model: str
    gain: float
    null_mean: float
    null_high: float
    p: float
    n: int


@dataclass(frozen=True)
class Lagged(Row):
    """Pairs of events so many sentences apart, beside events shuffled within each trace.

    Attributes:
        events: what counts.
        first, last: sentences between the two, both ends included.
        n_pairs: pairs.
        expected: pairs that shuffling gives on average.
        ratio: `n_pairs` over `expected`.
    """

    FILE: ClassVar[str] = "real_traces/lags"
    events: Events
    first: int
    last: int
    n_pairs: int
    expected: float
    ratio: Interval


@dataclass(frozen=True)
class Excited(Row):
    """A discrete-time self-exciting process, and what it predicts of held-out problems.

    Attributes:
        events: what counts.
        n_events, n: sentences that do, and all.
        rate: their share.
        excitation: share of an event's probability that comes from earlier events in the kernel.
        memory: mean number of sentences back of that kernel.
        own_rate: nats a sentence, held out, that the trace's own rate so far gains over one rate.
        kernel: that the kernel gains over one rate.
        kernel_beyond_own_rate: that the kernel gains where the own rate is known.
        kernel_beyond_profile: that it gains where besides the rate of each tenth of a trace, common
            to all traces, is known.
    """

    FILE: ClassVar[str] = "real_traces/excitation"
    events: Events
    n_events: int
    n: int
    rate: Interval
    excitation: Interval
    memory: Interval
    own_rate: Interval
    kernel: Interval
    kernel_beyond_own_rate: Interval
    kernel_beyond_profile: Interval


TABLES: tuple[type[Row], ...] = (
    Source,
    Stability,
    StabilityBin,
    OneMoreDraw,
    ByDefinition,
    Order,
    OrderNull,
    Lagged,
    Excited,
)
"""All of them; `records.rows.labellers` has one more."""
