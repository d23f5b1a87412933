"""Where the next action is decided, and what it then is."""

from collections.abc import Sequence

from backtracking.records.sentences import EXACT, Action, Decision, Sentence, State
from backtracking.records.traces import Trace
from lifeboat.stage.errors import UserError


def decisions_of(trace: Trace, sentences: Sequence[Sentence], primary: str) -> list[Decision]:
    """The decisions of a trace, in their order.

    The action is what the domain knows where it labelled the sentences itself (`exact`), and else
    told by the label of the next sentence: backtracking turns, any other goes on.

    Args:
        trace: the trace.
        sentences: all its sentences, in order.
        primary: the labeller that states and actions are taken from.

    Raises:
        UserError: where that labeller has labelled nothing here.
    """
    unknown = [one for one in sentences if primary not in one.label_by]
    if unknown:
        raise UserError(
            f"params.yaml, section `label`: `primary` is {primary}, and the sentences of "
            f"{trace.trace_id} have labels of {', '.join(sorted(unknown[0].label_by))} alone.",
            "Name one of these: `exact` needs a domain that labels every sentence itself.",
        )
    return [
        Decision(
            trace_id=trace.trace_id,
            problem_id=trace.problem_id,
            split=trace.split,
            index=one.index,
            start=one.start,
            position=one.end - 1,
            state=one.label_by[primary],
            action=_action(one, sentences[number + 1 : number + 2], primary),
            truth=one.truth,
        )
        for number, one in enumerate(sentences)
        if one.decides
    ]


def decide_in_prose(states: Sequence[State]) -> list[bool]:
    """Which sentences decide in natural text: all but the first and those of the final answer."""
    return [number > 0 and state != "final-answer" for number, state in enumerate(states)]


def _action(one: Sentence, after: Sequence[Sentence], primary: str) -> Action | None:
    if primary == EXACT:
        return one.truth.action if one.truth else None
    if not after:
        return None
    return "turns" if after[0].label_by[primary] == "backtracking" else "goes on"
