"""The word-level tokenizer of the world, in the ordinary transformers format."""

from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel

from backtracking.domains.organism.grammar import BOS, EOS, PAD, UNKNOWN, vocabulary

if TYPE_CHECKING:  # torch: what reads traces does without it
    from transformers import PreTrainedTokenizerFast


def build_tokenizer() -> "PreTrainedTokenizerFast":
    """A tokenizer with one token a word; a prompt gets the start token, never the end token."""
    from transformers import PreTrainedTokenizerFast

    words = [PAD, BOS, EOS, UNKNOWN, *vocabulary()]
    model = WordLevel({word: index for index, word in enumerate(words)}, unk_token=UNKNOWN)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+|(?=[.,])"), behavior="removed")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, words.index(BOS))]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(Regex("^"), " "),
            decoders.Replace(Regex(r"^ (?=[.,])"), ""),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
