"""Traces and labels from elsewhere, written as the files that extraction reads.

A file in gzip is unpacked, a text is tokenised by the model's own tokenizer and compared with what
its ids decode to, and labels of characters (`backtracking label --out`) become ranges of tokens.
Token ids that are there stay as they are.
"""

import gzip
import json
import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from backtracking.extraction.items import Span
from backtracking.models import folders
from backtracking.models.tokens import token_ids
from backtracking.records import imported, reader
from backtracking.records.imported import ImportedTrace
from backtracking.records.labelled import Label
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

_CURE = "A trace needs `token_ids`, or what was written: `text`, or `thinking` and `response`."
_GZIP = b"\x1f\x8b"
_SHOWN = 20


@dataclass(frozen=True)
class Given:
    """What a command was given.

    Attributes:
        traces, sentences: files that extraction reads: as they came, or made of those.
        said: what was made of texts and labels, a line each.
    """

    traces: Path
    sentences: Path | None
    said: tuple[str, ...]


@dataclass(frozen=True)
class _Ids:
    """A trace as ids.

    Attributes:
        trace: as it came.
        prompt, written: the ids of both.
        differs_at: first character that ids made here do not give back; None where they do.
        decoded: how what they decode to goes on from there.
    """

    trace: ImportedTrace
    prompt: list[int]
    written: list[int]
    differs_at: int | None = None
    decoded: str = ""


def ready(
    traces: Path, sentences: Path | None, model: str, revision: str | None, out: Path
) -> Given:
    """Traces and sentences of any of the formats, as extraction reads them.

    Args:
        traces: JSON Lines of ids, which stay where they are, or as `records.imported` has it.
        sentences: ranges of tokens, or labels of characters.
        model, revision: whose tokenizer is taken where one is needed; as of `folders.locate`.
        out: the store of activations; files that have to be made are put beside it.

    Raises:
        UserError: naming file and line of what cannot be read; where a trace has neither ids nor a
            text, or a label fits no token.
    """
    is_labelled = sentences is not None and _is_of_labels(sentences)
    if _is_of_ids(traces) and not is_labelled:
        return Given(traces, sentences, ())
    tokenizer, folder = _tokenizer(folders.locate(model, revision)), beside(out)
    found = [_ids(trace, tokenizer, str(traces)) for trace in _read(traces)]
    artifacts.write_jsonl(folder / "traces.jsonl", map(_row, found))
    said = list(_told(found))
    if sentences is not None and is_labelled:
        spans = list(_spans(sentences, found, tokenizer))
        sentences, n = folder / "sentences.jsonl", len(spans)
        reader.write_lines(sentences, filter(None, spans))
        said.append(
            f"{n} labelled sentences, as ranges of tokens in {sentences}; {spans.count(None)} of "
            "them have no token of their own and are left out."
        )
    return Given(folder / "traces.jsonl", sentences, tuple(said))


def beside(out: Path) -> Path:
    """Where files that have to be made are put."""
    return out.parent / f".{out.name}.given"


def _is_of_ids(traces: Path) -> bool:
    """Whether traces are read as they are, if only to be told what is wrong with them."""
    is_packed, first = _first(traces)
    return not is_packed and (first is None or "token_ids" in first)


def _is_of_labels(sentences: Path) -> bool:
    first = _first(sentences)[1] or {}
    return "state" in first and "index" not in first


def _first(path: Path) -> tuple[bool, Mapping[str, Any] | None]:
    """Whether a file is in gzip, and its first object; None where there is none to be read."""
    is_packed = False
    try:
        with path.open("rb") as file:
            is_packed = file.read(2) == _GZIP
        with (gzip.open if is_packed else open)(path, "rb") as file:
            found = json.loads(file.readline())
    except (OSError, EOFError, ValueError):
        return is_packed, None
    return is_packed, found if isinstance(found, dict) else None


def _read(path: Path) -> list[ImportedTrace]:
    """Traces; one without a name has its row's number, from 0."""
    rows = imported.rows_of(path, _CURE)
    return imported.traces_of(
        (where, {"trace_id": str(number), **row}) for number, (where, row) in enumerate(rows)
    )


def _tokenizer(model: Path) -> Tokenizer:
    folders.require_tokenizer(model)
    path = model / "tokenizer.json"
    if not path.is_file():
        cure = "Save it so: `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`."
        raise UserError(f"Texts are to be tokenised, and {path} is not there.", cure)
    return Tokenizer.from_file(str(path))


def _ids(trace: ImportedTrace, tokenizer: Tokenizer, source: str) -> _Ids:
    if trace.token_ids is not None:
        return _Ids(trace, trace.prompt_ids or [], trace.token_ids)
    text = trace.written
    if not text:
        raise UserError(f"{source}: `{trace.trace_id}` has neither token ids nor a text.", _CURE)
    prompt = trace.prompt_ids or tokenizer.encode(trace.prompt or "").ids
    ids = token_ids(text, tokenizer)
    decoded = tokenizer.decode(ids, skip_special_tokens=False)
    at = None if text == decoded else len(os.path.commonprefix([text, decoded]))
    return _Ids(trace, prompt, ids, at, decoded[at : at + _SHOWN] if at is not None else "")


def _row(one: _Ids) -> dict[str, Any]:
    return {
        "trace_id": one.trace.trace_id,
        "prompt_ids": one.prompt,
        "token_ids": one.written,
    }


def _told(found: Sequence[_Ids]) -> Iterator[str]:
    """How texts that were tokenised here come back, and what was read before them."""
    made = [one for one in found if one.trace.token_ids is None]
    if not made:
        return
    other = [one for one in made if one.differs_at is not None]
    said = f"{len(made)} texts tokenized here, of which {len(made) - len(other)} come back whole"
    if other:
        at, text = other[0].differs_at or 0, other[0].trace.written
        said += (
            f"; the first other is {other[0].trace.trace_id}, from character {at}: "
            f"{text[at : at + _SHOWN]!r} came back as {other[0].decoded!r}"
        )
    yield f"{said}."
    if n := sum(one.trace.prompt_ids is None and one.trace.prompt is None for one in made):
        yield f"{n} of them have no `prompt`: the model reads what was written, and nothing before."


def _spans(path: Path, found: Sequence[_Ids], tokenizer: Tokenizer) -> Iterator[Span | None]:
    """Each labelled stretch as positions, numbered within its trace; None where no token is its."""
    by_id = {one.trace.trace_id: one for one in found}
    stretches: dict[str, set[tuple[int, int]]] = {}
    for where, row in imported.rows_of(path):
        label = reader.decode(Label, row, where, "`backtracking label --out` writes such a file.")
        if label.trace_id not in by_id or label.end > len(by_id[label.trace_id].trace.written):
            raise UserError(
                f"{where}: no trace `{label.trace_id}` has characters up to {label.end}.",
                "Give the file of the traces that were labelled.",
            )
        stretches.setdefault(label.trace_id, set()).add((label.start, label.end))
    for trace_id, its in stretches.items():
        places = _places(by_id[trace_id], tokenizer)
        visible = [at for at, place in enumerate(places) if place >= 0]
        n_prompt = len(by_id[trace_id].prompt)
        for index, bounds in enumerate(sorted(its)):
            first, last = (bisect_left(visible, one, key=places.__getitem__) for one in bounds)
            own = visible[first:last]
            yield Span(trace_id, index, n_prompt + own[0], n_prompt + own[-1] + 1) if own else None


def _places(one: _Ids, tokenizer: Tokenizer) -> list[int]:
    """The first visible character of each token in the text; -1 where a token has none.

    Raises:
        UserError: where the ids that came are not those of the text.
    """
    text = one.trace.written
    encoded = tokenizer.encode(text, add_special_tokens=False)
    if encoded.ids != one.written[: len(encoded.ids)]:
        raise UserError(
            f"`{one.trace.trace_id}`: labels are of characters of its text, which is not what this "
            "tokenizer makes its `token_ids` of, so that no token is known to be theirs.",
            "Give ranges of tokens (`trace_id`, `index`, `start`, `end`), as the stage `label` "
            "writes them, or leave `token_ids` out: the text is tokenised then.",
        )
    return [
        start + len(piece) - len(piece.lstrip()) if (piece := text[start:end]).strip() else -1
        for start, end in encoded.offsets
    ]
