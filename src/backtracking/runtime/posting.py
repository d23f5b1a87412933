"""Questions to a server that speaks JSON, by plain HTTP: asked again while it is busy or away."""

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from lifeboat.stage.errors import UserError

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same question is asked again."""

LONGEST_PAUSE_S = 60.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected question would carry the key to another host."""

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any
    ) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


TRIES = 5


class Refused(Exception):
    """No answer, after all tries.

    Attributes:
        said: what the server, or the network, said last; the key is not in it.
    """

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


@dataclass(frozen=True)
class Endpoint:
    """A server.

    Attributes:
        url: of the interface, such as `http://127.0.0.1:8000/v1`.
        key: of the account, or empty; it is sent, and written nowhere.
        tries: of a question.
        pause_s: seconds before the second try, doubled at every other; a server's own word
            (`Retry-After`) counts where it asks for more.
        timeout_s: seconds in which nothing comes.
        largest: bytes of an answer that are read.
    """

    url: str
    key: str = field(default="", repr=False)
    tries: int = TRIES
    pause_s: float = 1.0
    timeout_s: float = 120.0
    largest: int = 1_000_000

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            cure = "Give one such as http://host:8000/v1."
            raise UserError(f"{self.url!r} is no address of an endpoint.", cure)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer to a question as a value of JSON.

        Raises:
            Refused: where the server refuses, or is busy, away or cut off at every try.
        """
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/{path}", json.dumps(body).encode(), headers
        )
        said, asked_for = "", 0.0
        for number in range(self.tries):
            if number:
                own = self.pause_s * 2 ** (number - 1) * random.uniform(0.75, 1.25)
                time.sleep(min(LONGEST_PAUSE_S, max(own, asked_for)))
            try:
                with _OPENER.open(request, timeout=self.timeout_s) as answer:
                    return json.loads(answer.read(self.largest))
            except urllib.error.HTTPError as error:
                with error:
                    said = f"status {error.code}: {error.read(300).decode(errors='replace')}"
                    asked_for = _seconds(error.headers.get("Retry-After"))
                if error.code not in BUSY:
                    break
            except (OSError, http.client.HTTPException, ValueError) as error:
                said = f"{type(error).__name__}: {error}"
        raise Refused(self.without_key(said))

    def without_key(self, text: str) -> str:
        """A text that may be shown."""
        return text.replace(self.key, "...") if self.key else text


def _seconds(told: str | None) -> float:
    try:
        return max(0.0, float(told or 0))
    except ValueError:
        return 0.0
