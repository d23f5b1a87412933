import pytest

from lifeboat.items import Item, ending
from lifeboat.stage.errors import UserError

FACTS = {
    "words of others": ("git: Name or service not known", "git: Name or service not known."),
    "a sentence": ("It is gone.", "It is gone."),
    "a question": ("Is it gone?", "Is it gone?"),
    "a bracket": ("2 packages differ (a, b)", "2 packages differ (a, b)."),
    "nothing": ("", ""),
}
"""A fact as it was found, and as it is told before its cure."""


@pytest.mark.kind(8)
@pytest.mark.parametrize("member", FACTS)
def test_a_fact_ends_as_a_sentence_before_its_cure(member: str) -> None:
    found, told = FACTS[member]
    assert Item(found, "wrong", "Check the name.").fact == told
    assert Item(found).fact == found
    assert str(UserError(found, "Check the name.")) == f"{told} Check the name.".strip()


@pytest.mark.parametrize(("n", "said"), [(1, "the line above that says"), (2, "the 2 lines above")])
def test_the_end_of_a_backup_counts_the_lines_that_say_wrong(n: int, said: str) -> None:
    assert f"see {said}" in ending([Item("a", "wrong")] * n).fact
