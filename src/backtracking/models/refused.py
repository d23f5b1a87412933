"""What the Hugging Face Hub's refusals mean, in plain words, with the cure."""

from dataclasses import dataclass

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from backtracking.models.formats import first_line
from lifeboat.stage.errors import UserError

_TOKENS = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class Refusal:
    """Why a model may not be read, or was not delivered.

    Attributes:
        fact: what is the case.
        cure: what to do.
    """

    fact: str
    cure: str


def told(error: Exception, hub_id: str, revision: str | None) -> UserError:
    """A refusal of the hub, or of the way there, as the error that users read.

    Args:
        error: as in `explain`.
        hub_id: as in `explain`.
        revision: as in `explain`.
    """
    refusal = explain(error, hub_id, revision)
    return UserError(refusal.fact, refusal.cure)


def explain(error: Exception, hub_id: str, revision: str | None) -> Refusal:
    """A refusal of the hub, or of the way there, for whoever asked for a model.

    Args:
        error: what the hub's client raised.
        hub_id: of the model.
        revision: that was asked for.
    """
    named = f"{hub_id!r} (revision {revision or 'main'})"
    match error:
        case GatedRepoError():
            return _gated(hub_id)
        case RevisionNotFoundError():
            return Refusal(
                f"{hub_id!r} has no revision {revision}.",
                f"Its commits: https://huggingface.co/{hub_id}/commits/main.",
            )
        case RepositoryNotFoundError():
            return _unseen(hub_id)
        case OfflineModeIsEnabled():
            return Refusal(
                f"{named} is not whole in {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set.",
                "Unset it, or bring the model into this cache.",
            )
        case HfHubHTTPError() if error.response.status_code == 401:
            return Refusal(
                "The hub does not take the token of HF_TOKEN: it has ended, was revoked, or lacks "
                "a letter.",
                f"Make a new one ({_TOKENS}) and write it into .env as HF_TOKEN.",
            )
        case HfHubHTTPError() if error.response.status_code == 429:
            return Refusal(
                "The hub answers that this machine asks too often.",
                f"Wait some minutes, and set HF_TOKEN in .env, which lifts the limit ({_TOKENS}).",
            )
    return Refusal(
        f"{named} is neither a folder here nor a model that the hub delivered: {first_line(error)}",
        "Check the name and the network; what has come stays, and the same command goes on there.",
    )


def is_final(error: Exception) -> bool:
    """Whether the hub has refused; not where it did not answer, or is busy or broken."""
    known = (GatedRepoError, RevisionNotFoundError, RepositoryNotFoundError)
    is_unknown_token = isinstance(error, HfHubHTTPError) and error.response.status_code == 401
    return isinstance(error, known) or is_unknown_token


def _gated(hub_id: str) -> Refusal:
    """Who may read it, and which of the steps is missing."""
    page = f"https://huggingface.co/{hub_id}"
    if not get_token():
        return Refusal(
            f"{hub_id!r} is gated: only accounts that accepted its terms may read it, and no "
            "HF_TOKEN is set.",
            f"Sign in, accept the terms on {page}, make a token with read access to gated "
            f"repositories ({_TOKENS}), write it into .env as HF_TOKEN, and start again.",
        )
    return Refusal(
        f"{hub_id!r} is gated, and the account of HF_TOKEN may not read it: it has not accepted "
        "the terms, or its request has not been answered, or the token is fine-grained and gives "
        "no access to gated repositories.",
        f"See {page} with that account; the rights of the token stand on {_TOKENS}.",
    )


def _unseen(hub_id: str) -> Refusal:
    if get_token():
        return Refusal(
            f"The hub knows no {hub_id!r} that the account of HF_TOKEN may see.",
            "Check the name (owner/model) and, where it is private, the account.",
        )
    return Refusal(
        f"The hub knows no {hub_id!r} that is public.",
        "Check the name (owner/model); a private one needs HF_TOKEN in .env.",
    )
