"""Text from an inference server: any that speaks OpenAI's completions (vLLM, SGLang, llama.cpp,
`transformers serve`), with every row verified and a sample of rows read again by our own model.

A server writes faster than we do, and cannot be believed: it may add a token to the prompt, cut it,
run other weights, or hide what the model thought. So the tokens that it says it read and wrote are
counted, ids are taken from it or won from the text by a round trip that is checked, and what it
says is most probable has to be so in our own forward pass.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer

from backtracking.models.generation import Generation
from backtracking.models.sampling import Sampling
from backtracking.runtime.posting import Endpoint, Refused
from lifeboat.stage import artifacts, interruption
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import Units

SLACK = 0.02
"""Share of its tokens by which a text, tokenised again, may differ from what the server counted."""


@dataclass(frozen=True)
class Server:
    """A server, and how it is asked.

    Attributes:
        url: of its interface, such as `http://127.0.0.1:8000/v1`.
        model: the name that the model has there.
        at_once: requests in flight.
        takes_ids: whether prompts are sent as token ids, as vLLM, SGLang and llama.cpp take them;
            else as text, which must come back from the tokenizer as the same ids.
        n_checks: greedy traces that our own model reads again.
        max_gap: nats by which a token that the server wrote greedily may be less probable than our
            most probable one, at 99 of 100 tokens.
        more: fields of every request that only this kind of server knows, such as vLLM's
            `return_token_ids: true` and `top_k: -1` (docs/overlays.md).
    """

    url: str
    model: str
    at_once: int
    takes_ids: bool
    n_checks: int
    max_gap: float
    more: Mapping[str, bool | int | float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.at_once, self.n_checks) < 1 or not self.max_gap > 0:
            raise ValueError("at_once and n_checks must be 1 or more, and max_gap above 0.")


@dataclass(frozen=True)
class Writer:
    """One server that writes for one model.

    Attributes:
        server: see `Server`.
        endpoint: where it is.
        tokenizer: of the model.
        end_ids: tokens that end a trace.
        out: for which units are kept.
        units: where they are, a row each.
        weights: of the model that the server has to serve, a hash.
    """

    server: Server
    endpoint: Endpoint
    tokenizer: Tokenizer
    end_ids: Sequence[int]
    out: str
    units: Units
    weights: str

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        keys: Sequence[str],
        sampling: Sampling,
        advance: Callable[[int], None] = lambda n: None,
    ) -> list[Generation]:
        """What the server writes after each prompt; what is written once is not asked for again.

        Raises:
            UserError: where the server cannot be reached or refuses, and where its answer is not
                what was asked for.
            SystemExit: with code 75, between two answers, when the process was asked to stop.
        """
        found: dict[int, Generation] = {}
        with ThreadPoolExecutor(self.server.at_once) as pool:
            asked = {
                pool.submit(self._row, prompt, key, sampling): row
                for row, (prompt, key) in enumerate(zip(prompts, keys, strict=True))
            }
            try:
                for done in as_completed(asked):
                    found[asked[done]] = done.result()
                    advance(1)
                    interruption.checkpoint()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        return [found[row] for row in range(len(prompts))]

    def _row(self, prompt: Sequence[int], key: str, sampling: Sampling) -> Generation:
        body = self._body(prompt, key, sampling)
        unit = artifacts.sha256_json({"weights": self.weights, "row": key, "body": body})
        return self.units.get(self.out, unit, lambda: self._ask(prompt, body))

    def _body(self, prompt: Sequence[int], key: str, sampling: Sampling) -> dict[str, Any]:
        """A request, with a seed of its own, which a server may or may not keep to."""
        digest = hashlib.sha256(f"{sampling.seed}/{key}".encode()).digest()
        return {
            "model": self.server.model,
            "prompt": list(prompt) if self.server.takes_ids else self._text(prompt),
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": 1.0,
            "seed": int.from_bytes(digest[:4], "little") >> 1,
            "stream": False,
        } | dict(self.server.more)

    def _text(self, prompt: Sequence[int]) -> str:
        """The prompt as a text that the server's tokenizer reads as the very same ids."""
        text = self.tokenizer.decode(list(prompt), skip_special_tokens=False)
        for added in (True, False):
            if self.tokenizer.encode(text, add_special_tokens=added).ids == list(prompt):
                return str(text)
        bare = self.tokenizer.decode(list(prompt)[1:], skip_special_tokens=False)
        if self.tokenizer.encode(bare).ids == list(prompt):
            return str(bare)
        raise UserError(
            f"The prompt {text[:60]!r} does not come back from the tokenizer as its own ids.",
            "Use a server that takes ids, and set `takes_ids: true`.",
        )

    def _ask(self, prompt: Sequence[int], body: dict[str, Any]) -> Generation:
        try:
            value = self.endpoint.post("completions", body)
        except Refused as refused:
            raise UserError(
                f"The server at {self.server.url} did not answer: {refused.said}.",
                "Check that it runs, and `traces.server` (url, model); what was written is kept.",
            ) from None
        return read_answer(value, prompt, body["max_tokens"], self.tokenizer, self.end_ids)


def read_answer(
    value: Any, prompt: Sequence[int], most: int, tokenizer: Tokenizer, end_ids: Sequence[int]
) -> Generation:
    """A completion as a trace, if it is one of this prompt, whole.

    Args:
        value: what the server sent.
        prompt: what it had to read.
        most: tokens that it could write.
        tokenizer: of the model.
        end_ids: tokens that end a trace.

    Raises:
        UserError: where it is no completion, where the server read another number of tokens than
            the prompt has, gave less than it wrote, or cut the text before its limit.
    """
    try:
        (choice,), usage = value["choices"], value["usage"]
        text, reason = str(choice["text"]), choice["finish_reason"]
        n_read, n_written = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        own = choice.get("token_ids")
    except (KeyError, ValueError, TypeError, AttributeError):
        raise UserError(
            f"The server answered {str(value)[:200]}, which is no completion with `usage`.",
            "Check that `traces.server.url` is an OpenAI-compatible interface.",
        ) from None
    if n_read != len(prompt):
        raise UserError(
            f"The server read {n_read} tokens where the prompt has {len(prompt)}.",
            "It adds a token, cuts long prompts or has another tokenizer: set `takes_ids: true`, "
            "raise its context, or serve the model of `models.studied`.",
        )
    ids = _ids(own, tokenizer) if own else _ids_of(text, tokenizer)
    ends = ids[-1:] and ids[-1] in end_ids
    if reason == "stop" and not ends and end_ids:
        ids = [*ids, end_ids[0]]
    _require_whole(ids, n_written, most, reason, is_own=bool(own))
    finish = "empty" if reason == "stop" and len(ids) <= 1 else reason
    return Generation(ids[:most] if own else ids, finish)


def _ids(own: Any, tokenizer: Tokenizer) -> list[int]:
    size = tokenizer.get_vocab_size()
    if not all(type(one) is int and 0 <= one < size for one in own):
        raise UserError(
            f"The server gave token ids that the vocabulary of {size} does not have.",
            "Serve the model of `models.studied`, with its own tokenizer.",
        )
    return list(own)


def _ids_of(text: str, tokenizer: Tokenizer) -> list[int]:
    ids = list(tokenizer.encode(text, add_special_tokens=False).ids)
    if tokenizer.decode(ids, skip_special_tokens=False) != text:
        raise UserError(
            f"The text {text[:60]!r} does not come back from the tokenizer.",
            "Use a server that returns token ids (`return_token_ids`, as vLLM does).",
        )
    return ids


def _require_whole(
    ids: Sequence[int], n_written: int, most: int, reason: Any, *, is_own: bool
) -> None:
    """That the text is all that was written, up to the limit that was asked for."""
    # Some count the token that ends a text, some do not.
    slack = 1 + (0 if is_own else int(SLACK * n_written))
    if abs(len(ids) - n_written) > slack:
        raise UserError(
            f"The server says that it wrote {n_written} tokens, and gave a text of {len(ids)}.",
            "It hides a part, such as what stands in <think>: switch its reasoning parser off.",
        )
    if reason not in ("stop", "length"):
        raise UserError(
            f"The server ended a text for the reason {reason!r}; `stop` or `length` were expected.",
            "Look into its log.",
        )
    if reason == "length" and n_written < most - 1:
        raise UserError(
            f"The server cut a text after {n_written} tokens where {most} were asked for.",
            "Raise its context or its limit on new tokens, or lower `traces.max_new_tokens`.",
        )
