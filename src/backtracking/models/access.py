"""Whether the hub lets this account read the models of the study, asked before work begins.

What is asked is what a download asks first: the headers of a model's config.json at its commit,
with the account's token. A gated model answers that with a refusal, although its page is public.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backtracking.models import refused
from backtracking.models.refused import Refusal
from backtracking.models.sizes import models
from backtracking.runtime import pins
from backtracking.runtime.pins import Hosted
from backtracking.runtime.workspace import Workspace
from lifeboat.deadlines import Later
from lifeboat.doctor.doctor import Machine
from lifeboat.items import Item

TIMEOUT_S = 4.0
"""Seconds in which the hub has to answer."""
FILE = "config.json"


@dataclass(frozen=True)
class Answer:
    """What the hub says of a model.

    Attributes:
        model: the model.
        commit: the commit that its revision is; None where it may not be read.
        refusal: why not, with the cure; None where it may be read.
        is_sure: whether the hub has said so; not where it did not answer.
    """

    model: Hosted
    commit: str | None = None
    refusal: Refusal | None = None
    is_sure: bool = True


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
    return said + items([answer or _late(model) for model, answer in answers])


def _late(model: Hosted) -> Answer:
    said = Refusal(
        f"The hub did not say in time whether {model.source} may be read.",
        "Look at the network, then run it again.",
    )
    return Answer(model, refusal=said, is_sure=False)


def ask(model: Hosted) -> Answer:
    """What the hub says of one model, at its revision, or at `main` where it has none."""
    from httpx2 import HTTPError
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        url = hf_hub_url(model.source, FILE, revision=model.revision)
        found = get_hf_file_metadata(url, timeout=TIMEOUT_S)
    except (HTTPError, OSError, ValueError) as error:
        said = refused.explain(error, model.source, model.revision)
        return Answer(model, refusal=said, is_sure=refused.is_final(error))
    return Answer(model, found.commit_hash)


def item(answer: Answer) -> Item:
    """An answer in words, with what to do."""
    model, refusal = answer.model, answer.refusal
    if refusal is None:
        commit = answer.commit or model.revision or "main"
        return Item(f"The hub lets this account read {model.source} ({model.role}, {commit}).")
    verdict = "wrong" if answer.is_sure else "warning"
    return Item(f"`weights.{model.role}`: {refusal.fact}", verdict, refusal.cure)


def items(answers: Sequence[Answer]) -> list[Item]:
    """Answers in words; models of which the hub said nothing in one line, with the first reason."""
    silent = [one for one in answers if not one.is_sure]
    said = [item(one) for one in answers if one.is_sure or len(silent) == 1]
    if len(silent) > 1:
        roles = ", ".join(f"`weights.{one.model.role}`" for one in silent)
        first = item(silent[0])
        fact = f"The hub did not say whether {roles} may be read. The first: {first.fact}"
        said.append(Item(fact, first.verdict, first.cure))
    return said


def pin(root: Path) -> list[Item]:
    """Fills in the commits that `main` has now, of models of the hub that have none.

    Where one of them may not be read, nothing is written.

    Raises:
        UserError: where params.yaml cannot be read.
    """
    path = Workspace(root).params
    loose = [one for one in pins.hosted(path) if not one.is_pinned]
    answers = [ask(one) for one in loose]
    failed = items([one for one in answers if one.commit is None])
    if failed:
        return [*failed, Item("Nothing was written.", "wrong")]
    commits = {one.model.role: one.commit for one in answers if one.commit}
    if not commits:
        return [Item("Every model of the hub is pinned to a commit.")]
    pins.fill(path, commits)
    told = [Item(f"`weights.{role}.revision` is {commit}.") for role, commit in commits.items()]
    return [*told, Item("See it with `git diff params.yaml`, and commit it.")]
