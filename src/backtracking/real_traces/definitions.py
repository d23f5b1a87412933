"""How much stability hangs on what counts as an event, where continuations are known in words."""

from collections.abc import Callable, Sequence

import numpy as np

from backtracking.labels.markers import MarkedRules
from backtracking.labels.passages import Passage
from backtracking.real_traces.stability import WAIT
from backtracking.records.imported import ImportedTrace
from backtracking.records.resamples import Resampled
from backtracking.records.rows.real_traces import ByDefinition, Definition
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.draws import DRAWS, LEAST, fewer_of

FIRST_WORDS = 3
"""Among which "wait" may stand: "But wait, ...", "Hmm, wait, ..."."""

IsEvent = Callable[[str], bool]


def by_definition(
    traces: Sequence[ImportedTrace], resamples: Sequence[Resampled], bootstrap: Bootstrap
) -> list[ByDefinition]:
    """Each definition, of the sentences that stand in the traces and of their continuations."""
    by_id = {trace.trace_id: trace for trace in traces}
    own = [by_id[one.trace_id].annotations[0].sentences[one.index].text for one in resamples]
    models = {one.trace_id: by_id[one.trace_id].model for one in resamples}
    return [
        _row("first word", lambda _: _begins, own, resamples, bootstrap),
        _row("first words", lambda _: _has_early, own, resamples, bootstrap),
        _row("rules", lambda one: _by_rules(models[one.trace_id]), own, resamples, bootstrap),
    ]


def _row(
    definition: Definition,
    rule_of: Callable[[Resampled], IsEvent],
    own: Sequence[str],
    resamples: Sequence[Resampled],
    bootstrap: Bootstrap,
) -> ByDefinition:
    rules = [rule_of(one) for one in resamples]
    is_event = np.array([rule(text) for rule, text in zip(rules, own, strict=True)])
    n = np.array([one.n for one in resamples])
    k = np.array([_count(rule, one) for rule, one in zip(rules, resamples, strict=True)])
    rate = k / n
    undefined = np.where(is_event, 1.0, np.nan)
    columns = np.stack(
        [rate * undefined, fewer_of(k, n, DRAWS, LEAST) * undefined, rate, is_event], axis=1
    )
    mean, of_ten, ratio = bootstrap.intervals(
        columns, [one.trace_id for one in resamples], _with_ratio
    )
    return ByDefinition(definition, len(own), int(is_event.sum()), ratio, mean, of_ten)


def _with_ratio(means: np.ndarray) -> np.ndarray:
    events = means[:, 3]
    ratio = np.divide(means[:, 2], events, out=np.full_like(events, np.nan), where=events > 0)
    return np.column_stack([means[:, :2], ratio])


def _count(rule: IsEvent, resampled: Resampled) -> int:
    return sum(one.count for one in resampled.next_sentences if rule(one.text))


def _begins(text: str) -> bool:
    return text.startswith(WAIT.capitalize())


def _has_early(text: str) -> bool:
    words = [word.strip(",.!?:;—-").lower() for word in text.split()[:FIRST_WORDS]]
    return WAIT in words


def _by_rules(model: str | None) -> IsEvent:
    rules = MarkedRules.load()

    def is_event(text: str) -> bool:
        return rules.label(Passage("", model, (text,), None)) == ["backtracking"]

    return is_event
