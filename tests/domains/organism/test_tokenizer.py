"""One token a word, in the ordinary format, and the text comes back as it was."""

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from written import Written

from backtracking.domains.organism.grammar import vocabulary
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import make_problem


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def test_special_tokens_come_first_and_every_word_has_one_id(
    loaded: PreTrainedTokenizerBase,
) -> None:
    assert loaded.convert_ids_to_tokens([0, 1, 2, 3]) == ["<pad>", "<s>", "</s>", "<unk>"]
    assert (loaded.pad_token_id, loaded.bos_token_id, loaded.eos_token_id) == (0, 1, 2)
    assert set(loaded.get_vocab()) == {"<pad>", "<s>", "</s>", "<unk>", *vocabulary()}
    assert len(loaded) < 120


def test_text_of_a_trace_goes_round_by_tokens_and_by_letters(
    loaded: PreTrainedTokenizerBase, written: list[Written]
) -> None:
    for trace in written[:20]:
        ids = [1, *(loaded.get_vocab()[word] for word in trace.words), 2]
        text = loaded.decode(ids, skip_special_tokens=True)
        assert isinstance(text, str)
        assert text.startswith("Start at 0. Try ") and " ." not in text and " ," not in text
        assert loaded(text).input_ids == ids[:-1]
        assert loaded.decode(loaded(text).input_ids, skip_special_tokens=True) == text


def test_a_prompt_is_read_as_training_rows_begin(loaded: PreTrainedTokenizerBase) -> None:
    prompt = make_problem((7, 8, 9, 12), 28, "study", "train").prompt
    words = ["<s>", "Numbers", "7", "8", "9", "12", ".", "Target", "28", "."]
    assert loaded.convert_ids_to_tokens(loaded(prompt).input_ids) == words


def test_a_word_of_no_sentence_is_unknown(loaded: PreTrainedTokenizerBase) -> None:
    assert loaded("Try banana").input_ids[-1] == loaded.unk_token_id


def test_loaded_and_built_tokenizers_are_the_same(loaded: PreTrainedTokenizerBase) -> None:
    text = "Wait, 39 is too big. Undo 12 on 27. Left none."
    assert loaded(text).input_ids == build_tokenizer()(text).input_ids
