"""Whether the hub lets this account read the models of the study, asked before work begins.

What is asked is what a download asks first: the headers of a model's config.json at its commit,
with the account's token. A gated model answers that with a refusal, although its page is public.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backtracking.models.sizes import models
from backtracking.runtime import pins
from backtracking.runtime.pins import Hosted
from backtracking.runtime.workspace import Workspace
from lifeboat.deadlines import Later
from lifeboat.doctor.doctor import Machine
from lifeboat.items import Item
from lifeboat.stage.errors import UserError

TIMEOUT_S = 4.0
"""Seconds in which the hub has to answer."""
FILE = "config.json"

Outcome = Literal["readable", "gated", "not there", "no such revision", "silent"]


@dataclass(frozen=True)
class Answer:
    """What the hub says of a model.

    Attributes:
        model: the model.
        outcome: whether this account may read it.
        commit: the commit that its revision is; None where it may not be read.
        why: what went wrong where nothing was answered.
    """

    model: Hosted
    outcome: Outcome
    commit: str | None = None
    why: str = ""


def checks(root: Path, machine: Machine) -> list[Item]:
    """What the hub says of every model that is not on this machine yet.

    Raises:
        UserError: where params.yaml cannot be read.
    """
    here = {one.role for one in models(root) if one.is_here}
    wanted = [one for one in pins.hosted(Workspace(root).params) if one.role not in here]
    loose = [one for one in wanted if not one.is_pinned]
    cure = "`backtracking profile pin` fills them in; commit params.yaml then."
    said = [Item(f"{pins.told(loose)}.", "wrong", cure)] if loose else []
    asked = [Later(lambda one=one: ask(one)) for one in wanted]
    answers = zip(wanted, (one.before(machine.deadline) for one in asked), strict=True)
    return said + [item(answer or Answer(model, "silent")) for model, answer in answers]


def ask(model: Hosted) -> Answer:
    """What the hub says of one model, at its revision, or at `main` where it has none."""
    from httpx2 import HTTPError
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        url = hf_hub_url(model.source, FILE, revision=model.revision)
        found = get_hf_file_metadata(url, timeout=TIMEOUT_S)
    except GatedRepoError:
        return Answer(model, "gated")
    except RevisionNotFoundError:
        return Answer(model, "no such revision")
    except RepositoryNotFoundError:
        return Answer(model, "not there")
    except (HTTPError, OSError, ValueError) as error:
        return Answer(model, "silent", why=(str(error).strip().splitlines() or [""])[0])
    return Answer(model, "readable", found.commit_hash)


def item(answer: Answer) -> Item:
    """An answer in words, with what to do."""
    model, page = answer.model, f"https://huggingface.co/{answer.model.source}"
    at = model.revision or "main"
    match answer.outcome:
        case "readable":
            commit = answer.commit or at
            return Item(f"The hub lets this account read {model.source} ({model.role}, {commit}).")
        case "gated":
            fact = f"{model.source} ({model.role}) is gated, and this account may not read it."
            cure = (
                f"Ask for access on {page}, then set HF_TOKEN in .env to a token of that account "
            )
            return Item(fact, "wrong", f"{cure}with access to gated repositories.")
        case "no such revision":
            fact = f"{model.source} ({model.role}) has no revision {at}."
            return Item(fact, "wrong", f"Take a commit of {page}/commits/main.")
        case "not there":
            fact = f"The hub has no model {model.source} ({model.role}) that this account may see."
            cure = "Correct `source` in params.yaml; a private model needs HF_TOKEN in .env."
            return Item(fact, "wrong", cure)
        case _:
            fact = f"The hub did not say whether {model.source} ({model.role}) may be read"
            why = f": {answer.why.rstrip('.')}" if answer.why else ""
            return Item(f"{fact}{why}.", "warning", "Look at the network, then run it again.")


def pin(root: Path) -> list[Item]:
    """Fills in the commits that `main` has now, of models of the hub that have none.

    Raises:
        UserError: where params.yaml cannot be read, or a model may not be read; nothing is written.
    """
    path = Workspace(root).params
    loose = [one for one in pins.hosted(path) if not one.is_pinned]
    answers = [ask(one) for one in loose]
    failed = [item(one) for one in answers if one.commit is None]
    if failed:
        raise UserError(" ".join(one.fact for one in failed), failed[0].cure)
    commits = {one.model.role: one.commit for one in answers if one.commit}
    if not commits:
        return [Item("Every model of the hub is pinned to a commit.")]
    pins.fill(path, commits)
    told = [Item(f"`weights.{role}.revision` is {commit}.") for role, commit in commits.items()]
    return [*told, Item("See it with `git diff params.yaml`, and commit it.")]
