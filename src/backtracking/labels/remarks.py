"""What a turn is about, by its words: the state of the search, or that something steers the writer.

Models that are steered may notice it, and go back because what they wrote is not what they meant.
Then an arm that raises backtracking has caused a remark about itself and no belief about the state.
"""

import re
from typing import Literal

Remark = Literal["state", "steering", "neither"]
"""What a sentence names."""

_NUMBER = r"-?\d[\d.,]*"
STEERING = (
    # What was just written is not the writer's own, or not what was asked.
    r"not what (?:i|you|we|they) (?:\w+ )?(?:was|were|am|are|asked|meant|wanted|intended|said)",
    r"not (?:what was|the question (?:that was )?) ?asked",
    r"(?:didn't|did not|don't|do not) (?:mean|want|intend) to (?:say|write|think|do)",
    r"why (?:am|did|do|would|was) i (?:\w+ )?(?:say\w*|said|writ\w*|think\w*|doing|keep|repeat\w*)",
    r"(?:don't|do not) know why i",
    # Something else acts on the writer.
    r"(?:something|someone|somebody) (?:is |seems to be |keeps? )?(?:mak|influenc|push|interfer"
    r"|steer|pull|affect|alter|manipulat)\w*",
    r"(?:being|feel|felt|i am|i'm|i was) (?:\w+ )?"
    r"(?:steered|pushed|pulled|forced|compelled|manipulated)",
    r"(?:injected|intrusive|inserted) (?:thought|word|idea)s?",
    # The writer has lost its way in its own text.
    r"(?:lost|losing) (?:my |the )?(?:train of thought|track|thread)",
    r"(?:got|getting|gone|went|going|i'm|i am) (?:\w+ )?(?:off[- ](?:track|topic)|distracted"
    r"|sidetracked|carried away)",
    r"where was i",
    r"(?:that|this|it)(?:'s| is| was) (?:\w+ )?(?:strange|weird|nonsense|gibberish)",
    r"(?:that|this)(?:'s| is| was) odd(?=\W*$)|how odd",  # not the parity of a number
)
"""Patterns of the steering, anywhere in a sentence; they are asked first."""

STATE = (
    # Where the attempt stands against what is wanted.
    r"too (?:big|large|high|much|many|far|small|low|little|few|short|long)",
    r"(?:more|greater|larger|bigger|higher|less|smaller|lower|fewer) than",
    r"over(?:shoots?|shot|shooting)|exceeds?|exceeded|surpass\w*|undershoots?",
    rf"(?:above|below|past|over|under|beyond) (?:the |our )?(?:target|goal|limit|{_NUMBER})",
    r"(?:falls?|fell|comes?|came|stops?) (?:up )?short|not enough",
    rf"(?:not|isn't|doesn't|does not|never) (?:equal|reach|match|make|give|get|add up to)"
    rf"(?: to)?(?: the)? ?(?:target|goal|{_NUMBER})?",
    # That it cannot be completed.
    r"dead end|stuck|nothing (?:is |was )?left|no (?:\w+ )?(?:number|numbers|way|option|options)"
    r" (?:is |are )?left|used (?:up )?(?:all|every|both)",
    r"impossible|(?:can't|cannot|can not|won't) (?:be|work|reach|make|get)",
    r"(?:doesn't|does not|didn't|did not|won't|not) work",
    # That a step was wrong.
    r"(?:that|this|it|which)(?:'s| is| was) (?:\w+ )?(?:wrong|incorrect|not right|not correct)",
    r"mistake|miscalculat\w*|error|contradict\w*|inconsistent",
)
"""Patterns of the state of the search: how an attempt stands, that it is stuck, that it erred."""


def remark_of(text: str) -> Remark:
    """What a sentence names; one that names both counts for the steering, which is rarer."""
    text = " ".join(text.lower().replace("’", "'").split())
    if _STEERING.search(text):
        return "steering"
    return "state" if _STATE.search(text) else "neither"


_STEERING, _STATE = (
    re.compile("|".join(rf"(?<!\w)(?:{one})(?!\w)" for one in patterns))
    for patterns in (STEERING, STATE)
)
