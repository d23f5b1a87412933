"""Words as first tokens: every spelling of a byte-level vocabulary, and one of words."""

import pytest
from bpe import train
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel

from backtracking.models.tokens import (
    find_token_set,
    first_token,
    following_ids,
    path_ids,
    token_ids,
    token_set,
)
from lifeboat.stage.errors import UserError

TEXT = (
    "Wait, that is wrong. Wait a moment.\nWait wait wait. No, no. But wait, actually it is fine.\n"
    "Alternative ways. Alter this. Alter that. Altern. So it is. So so. so\n"
) * 20


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return train([TEXT], 330)


def words_only() -> Tokenizer:
    words = ["<unk>", "Wait", "No", ",", "fine", "."]
    model = WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def test_a_word_has_the_first_token_of_every_spelling(bpe: Tokenizer) -> None:
    found = token_set("wait", ["wait"], bpe)
    assert set(found.spelled) == {" wait", "Wait", " Wait"}
    assert found.ambiguous == ()
    assert len(set(found.ids)) == len(found.ids) == len(found.spelled)
    for token, piece in zip(found.ids, found.spelled, strict=True):
        assert bpe.decode([token]) == piece


def test_every_way_to_write_the_word_begins_with_one_of_its_tokens(bpe: Tokenizer) -> None:
    found = token_set("wait", ["wait"], bpe)
    for text in ("So it is. Wait", "So it is.\nWait", "Wait", "But wait"):
        assert token_ids(text, bpe)[-1] in found.ids


def test_a_first_token_that_other_words_share_is_named(bpe: Tokenizer) -> None:
    found = token_set("alternatively", ["Alternatively"], bpe)
    assert found.ambiguous == found.spelled != ()
    assert all("Alternatively".startswith(one.strip()) for one in found.ambiguous)
    assert token_set("no", ["No"], bpe).ambiguous == ()


def test_short_pieces_count_only_where_the_word_has_no_other(bpe: Tokenizer) -> None:
    found = token_set("zzz", ["zzz"], bpe)
    assert (
        {one.strip() for one in found.spelled} == {"z", "Z"} == {*map(str.strip, found.ambiguous)}
    )


def test_capitals_only_go_up(bpe: Tokenizer) -> None:
    spelled = {one.strip() for one in token_set("Wait", ["Wait"], bpe).spelled}
    assert "Wait" in spelled and "wait" not in spelled


def test_a_vocabulary_of_words_has_one_token_a_word_or_none() -> None:
    tokenizer = words_only()
    found = token_set("wait", ["wait"], tokenizer)
    assert (found.ids, found.spelled, found.ambiguous) == ((1,), ("Wait",), ())
    assert find_token_set("so", ["so"], tokenizer) is None
    with pytest.raises(
        UserError, match=r"words \['so'\] \(`so`\), found none in a vocabulary of 6"
    ):
        token_set("so", ["so"], tokenizer)
    assert first_token("So", tokenizer) is None
    assert path_ids("Wait , fine", tokenizer) == ((1, 3, 4),)
    assert path_ids("Wait so", tokenizer) == ()
    assert path_ids("No", tokenizer) == ((2,),)


def test_what_follows_a_word_is_read_behind_it(bpe: Tokenizer) -> None:
    ids = following_ids("Wait", ", fine", bpe)
    assert bpe.decode([*token_ids("Wait", bpe), *ids]) == "Wait, fine"
    with pytest.raises(UserError, match="begin a token after"):
        following_ids("Wa", "it", bpe)


def test_phrases_have_all_their_tokens_and_words_their_first(bpe: Tokenizer) -> None:
    phrases = path_ids("Wait, fine", bpe)
    assert all(bpe.decode(list(path)).strip().lower() == "wait, fine" for path in phrases)
    assert len(phrases) > 1
    assert all(len(path) == 1 for path in path_ids("alternatively", bpe))
