"""What any domain of natural text does alike."""

from tokenizers import Tokenizer

from backtracking.labels import segmentation
from backtracking.records.tokens import Pattern
from backtracking.records.traces import TokenSpan, Trace

_ENDS = (".", "!", "?", "…", "。", "！", "？")
_CLOSERS = "\"'”’)]}*_`"


def sentence_spans(trace: Trace, tokenizer: Tokenizer) -> list[tuple[TokenSpan, str]]:
    """The sentences of a trace and their texts."""
    start = len(trace.prompt_ids)
    spans = segmentation.segment(trace.token_ids, tokenizer.decode, start)
    return [(span, tokenizer.decode(trace.ids[span.start : span.end])) for span in spans]


def sentence_ends(tokenizer: Tokenizer) -> Pattern:
    """Tokens whose text ends a sentence; what comes next is not seen ("3." of "3.5")."""
    pieces = ((token, tokenizer.decode([token])) for token in tokenizer.get_vocab().values())
    return Pattern((frozenset(token for token, piece in pieces if _ends(piece)),))


def _ends(piece: str) -> bool:
    return "\n" in piece or piece.rstrip().rstrip(_CLOSERS).endswith(_ENDS)
