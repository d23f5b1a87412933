"""An inference server on loopback: real HTTP, and text of a real model, written by our engine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from judge_server import Reply, Server, serving

from backtracking.models.generation import generate
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling

Completion = dict[str, Any]


@contextmanager
def completing(
    loaded: LoadedModel,
    oddity: Callable[[Completion], None] = lambda value: None,
    busy: Callable[[int], Reply | None] = lambda number: None,
    gives_ids: bool = False,
) -> Iterator[Server]:
    """A server of a model.

    Args:
        loaded: what it serves.
        oddity: changes what it says.
        busy: what it says instead to the n-th request; None for an answer.
        gives_ids: whether it gives token ids.
    """
    lock = threading.Lock()

    def reply(body: dict[str, Any], number: int) -> Reply:
        if (instead := busy(number)) is not None:
            return instead
        with lock:
            value = complete(loaded, body, gives_ids)
        oddity(value)
        return 200, value

    with serving(reply, "/v1/completions") as server:
        yield server


def complete(loaded: LoadedModel, body: dict[str, Any], gives_ids: bool) -> Completion:
    """A completion as such servers give it: the text without the token that ends it."""
    asked = body["prompt"]
    prompt = asked if isinstance(asked, list) else loaded.tokenizer.encode(asked)
    sampling = Sampling(body["seed"], body["temperature"], body["max_tokens"])
    (written,) = generate(loaded, [prompt], ["served"], sampling)
    ids, ended = written.token_ids, written.finish_reason != "length"
    shown = ids[:-1] if ended else ids
    choice: dict[str, Any] = {
        "text": loaded.tokenizer.decode(shown),
        "finish_reason": "stop" if ended else "length",
    }
    if gives_ids:
        choice["token_ids"] = ids
    usage = {"prompt_tokens": len(prompt), "completion_tokens": len(ids)}
    return {"choices": [choice], "usage": usage}
