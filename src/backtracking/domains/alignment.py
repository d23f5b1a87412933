"""Texts that came from elsewhere, beside what the ids that stand for them decode to.

Token ids are the truth of all that follows, so a text that its ids do not give back is told.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from backtracking.records import reader
from backtracking.records.traces import Trace

KEY = "alignment"
"""Of `Trace.sampling`, and of the metrics of `traces`."""
_SHOWN = 20


@dataclass(frozen=True)
class Alignment:
    """One text and its ids, as `sampling` of the trace has it.

    Attributes:
        is_tokenized: whether the ids were made of the text here; else they came with it.
        differs_at: first character of the text that the ids do not give back; None where they give
            back all.
        given, decoded: how the text and what was decoded go on from there.
        n_special: special tokens among the ids, which `Trace.text` leaves out; the last id is no
            such one where the ids came with the text, since a trace ends so.
    """

    is_tokenized: bool
    differs_at: int | None
    given: str
    decoded: str
    n_special: int


@dataclass(frozen=True)
class Difference:
    """A trace whose ids do not give back its text; attributes as of `Alignment`."""

    trace_id: str
    differs_at: int
    given: str
    decoded: str


@dataclass(frozen=True)
class Report:
    """The alignment of all traces that came with their problems.

    Attributes:
        n_tokenized, n_tokenized_whole: texts whose ids were made here, and those given back.
        n_paired, n_paired_whole: texts that came with ids, and those that the ids give back.
        n_ids_only: traces of ids alone, of which nothing can be compared.
        n_with_special: texts within which special tokens stand.
        different: where each of the others first differs.
    """

    n_tokenized: int
    n_tokenized_whole: int
    n_paired: int
    n_paired_whole: int
    n_ids_only: int
    n_with_special: int
    different: tuple[Difference, ...]

    @property
    def told(self) -> str:
        """The report in a line."""
        said = [
            f"alignment: given back whole are {self.n_tokenized_whole} of {self.n_tokenized} texts "
            f"tokenized here and {self.n_paired_whole} of {self.n_paired} that came with ids"
        ]
        if self.different:
            first = self.different[0]
            said.append(
                f"the first other is {first.trace_id}, from character {first.differs_at}: "
                f"{first.given!r} came back as {first.decoded!r}"
            )
        if self.n_with_special:
            said.append(f"{self.n_with_special} have special tokens, which `text` leaves out")
        return "; ".join(said) + "."


def align(text: str, ids: Sequence[int], tokenizer: Tokenizer, *, is_tokenized: bool) -> Alignment:
    """A text beside its ids: of a text that came with them special tokens may be left out."""
    special = {id_ for id_, one in tokenizer.get_added_tokens_decoder().items() if one.special}
    n_special = sum(id_ in special for id_ in (ids if is_tokenized else ids[:-1]))
    skipped = (False,) if is_tokenized else (False, True)
    decoded = [tokenizer.decode(ids, skip_special_tokens=skip) for skip in skipped]
    if text in decoded:
        return Alignment(is_tokenized, None, "", "", n_special)
    at, nearest = max((len(os.path.commonprefix([text, one])), one) for one in decoded)
    shown = slice(at, at + _SHOWN)
    return Alignment(is_tokenized, at, text[shown], nearest[shown], n_special)


def report(given: Sequence[Trace]) -> Report | None:
    """The alignment of traces that came with their problems; None where there are none."""
    if not given:
        return None
    found = [
        (trace.trace_id, reader.decode(Alignment, trace.sampling[KEY], trace.trace_id))
        for trace in given
        if KEY in trace.sampling
    ]
    counts = Counter((one.is_tokenized, one.differs_at is None) for _, one in found)
    return Report(
        n_tokenized=counts[True, True] + counts[True, False],
        n_tokenized_whole=counts[True, True],
        n_paired=counts[False, True] + counts[False, False],
        n_paired_whole=counts[False, True],
        n_ids_only=len(given) - len(found),
        n_with_special=sum(one.n_special > 0 for _, one in found),
        different=tuple(
            Difference(name, one.differs_at, one.given, one.decoded)
            for name, one in found
            if one.differs_at is not None
        ),
    )
