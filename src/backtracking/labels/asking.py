"""Questions to an OpenAI-compatible endpoint by plain HTTP: answered once, kept, and capped."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backtracking.labels.judge import Answer, Question
from backtracking.records import reader
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import PAID, Units

OUT = f"{PAID}/judge"
"""Where answers lie in the store of units, which `backup` and `watch` save."""

TRIES = 5
TIMEOUT_S = 120.0
BUSY = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same question is asked again."""

LARGEST_ANSWER = 1_000_000
"""Bytes of an answer that are read."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected question would carry the key to another host."""

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any
    ) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


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
        if not self.url.startswith(("http://", "https://")):
            cure = "Give one such as http://host:8000/v1."
            raise UserError(f"{self.url!r} is no address of an endpoint.", cure)

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
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers
        )
        said = ""
        for number in range(TRIES):
            if number:
                time.sleep(self.pause_s * 2 ** (number - 1))
            try:
                with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
                    return json.loads(answer.read(LARGEST_ANSWER))
            except urllib.error.HTTPError as error:
                with error:
                    said = f"status {error.code}: {error.read(300).decode(errors='replace')}"
                if error.code not in BUSY:
                    break
            except (OSError, http.client.HTTPException, ValueError) as error:
                said = str(error)
        raise UserError(
            f"The judge at {self.url} did not answer: {self._without_key(said)}.",
            "Check --url, --model and JUDGE_API_KEY; what was answered is kept.",
        )

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "...") if self.key else text

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
            raise UserError(
                f"{self.url} answered {self._without_key(json.dumps(value)[:200])}, which is no "
                "chat completion.",
                "Check that --url is an OpenAI-compatible interface.",
            ) from None
