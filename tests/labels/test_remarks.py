"""What turns name: planted sentences of each sort."""

import pytest

from backtracking.labels.remarks import remark_of

STATE = (
    "Wait, 39 is more than 30, so that is too big.",
    "Hmm, 41 is past 40 already.",
    "No, that overshoots, since 52 is above 50.",
    "Wait, nothing is left to add, and 12 is less than 20.",
    "Hmm, 18 falls short of 20 with all numbers used.",
    "But that doesn't work, we're stuck.",
    "Wait, that\u2019s not right.",
    "Hold on, I made a mistake.",
)
STEERING = (
    "Wait, that's not what I was asked.",
    "Hmm, that is not what I meant to write.",
    "I don't know why I said that.",
    "Wait, why am I saying this again?",
    "It is as if something is pushing me to go back.",
    "Sorry, I got off track.",
    "Wait, I lost my train of thought.",
    "No, I feel somehow pushed here, and 39 is more than 30.",
)
NEITHER = (
    "Let me go back to 13.",
    "Wait, let me try 7 first.",
    "Actually, add 5.",
    "Let me compare more numbers.",
    "Alternatively, we can use the area.",
    "Hmm, it's odd, so 2 does not divide it.",
    "Then x was forced to be 3.",
)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        *((text, "state") for text in STATE),
        *((text, "steering") for text in STEERING),
        *((text, "neither") for text in NEITHER),
    ],
)
def test_a_sentence_names_the_state_or_the_steering(text: str, named: str) -> None:
    assert remark_of(text) == named
