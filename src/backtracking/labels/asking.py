"""Questions to an OpenAI-compatible endpoint by plain HTTP: answered once, kept, and capped."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backtracking.labels.judge import Answer, Question
from backtracking.records import reader
from backtracking.runtime.posting import Endpoint, Refused
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import PAID, Units

OUT = f"{PAID}/judge"
"""Where answers lie in the store of units, which `backup` and `watch` save."""


@dataclass(frozen=True)
class Price:
    """What an endpoint costs.

    Attributes:
        read, written: dollars for a million tokens.
    """

    read: float
    written: float

    def of(self, n_read: int, n_written: int) -> float:
        """Dollars for some tokens."""
        return (n_read * self.read + n_written * self.written) / 1e6


@dataclass(frozen=True)
class Estimate:
    """What questions cost before they are asked.

    Attributes:
        n_questions: all of them.
        n_kept: those that were answered before and cost nothing.
        n_read, n_written: tokens of the others, by an estimate, and at most.
        dollars: for these.
    """

    n_questions: int
    n_kept: int
    n_read: int
    n_written: int
    dollars: float


@dataclass
class HttpEndpoint:
    """An endpoint with a store of its answers and a cap on what it may cost.

    Attributes:
        url: of the interface, such as `http://127.0.0.1:8000/v1`.
        units: where answers are kept, each under a hash of the address and the whole question.
        price: of the endpoint.
        cap: dollars that all questions of this object may cost together.
        key: of the account, or empty; it is sent, and written nowhere.
        pause_s: seconds before the second try, doubled at every other.
        spent: dollars so far, by the endpoint's own count of tokens where it gives one.
    """

    url: str
    units: Units
    price: Price
    cap: float
    key: str = field(default="", repr=False)
    pause_s: float = 1.0
    spent: float = 0.0

    def __post_init__(self) -> None:
        self._endpoint = Endpoint(self.url, self.key, pause_s=self.pause_s)

    def estimate(self, questions: Sequence[Question]) -> Estimate:
        """What some questions cost at most, those apart that were answered before."""
        new = [one for one in questions if not self.units.has(OUT, self._key(one.body))]
        read, written = (sum(one.most_tokens[n] for one in new) for n in (0, 1))
        dollars = self.price.of(read, written)
        return Estimate(len(questions), len(questions) - len(new), read, written, dollars)

    def ask(self, body: dict[str, Any]) -> Answer:
        """The answer to a question, from the store where it is there.

        Raises:
            UserError: where the cap is reached; where the endpoint cannot be reached, refuses, or
                answers otherwise than such endpoints do.
        """
        return self.units.get(OUT, self._key(body), lambda: self._paid(body))

    def _paid(self, body: dict[str, Any]) -> Answer:
        most = Question(0, 0, body).most_tokens
        if self.spent + self.price.of(*most) > self.cap:
            raise UserError(
                f"The judge has cost ${self.spent:.4f}, and the next question could exceed the "
                f"cap of ${self.cap:.4f}.",
                "Raise --max-cost; what was answered is kept and costs nothing again.",
            )
        answer = self._answer(self._send(body))
        self.spent += self.price.of(
            most[0] if answer.n_read is None else answer.n_read,
            most[1] if answer.n_written is None else answer.n_written,
        )
        return answer

    def _key(self, body: dict[str, Any]) -> str:
        return artifacts.sha256_json({"url": self.url, "body": body})

    def _send(self, body: dict[str, Any]) -> Any:
        """The endpoint's answer as a value of JSON, tried again while it is busy or away."""
        try:
            return self._endpoint.post("chat/completions", body)
        except Refused as refused:
            raise UserError(
                f"The judge at {self.url} did not answer: {refused.said}.",
                "Check --url, --model and JUDGE_API_KEY; what was answered is kept.",
            ) from None

    def _answer(self, value: Any) -> Answer:
        try:
            text = value["choices"][0]["message"]["content"]
            usage = value.get("usage") or {}
            return reader.decode(
                Answer,
                {
                    "text": text or "",
                    "n_read": usage.get("prompt_tokens"),
                    "n_written": usage.get("completion_tokens"),
                },
                f"The answer of {self.url}",
            )
        except (KeyError, IndexError, TypeError, AttributeError):
            said = self._endpoint.without_key(json.dumps(value)[:200])
            raise UserError(
                f"{self.url} answered {said}, which is no chat completion.",
                "Check that --url is an OpenAI-compatible interface.",
            ) from None
