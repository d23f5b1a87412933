"""What a remote's failure means: the errors of any store as one readable kind, with its cure."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from lifeboat.stage.errors import UserError

Kind = Literal[
    "credentials",
    "expired",
    "denied",
    "no bucket",
    "clock",
    "region",
    "throttled",
    "unreachable",
    "disk full",
    "missing object",
    "support",
    "other",
]

_KIND_BY_CODE: dict[str, Kind] = {
    "AccessDenied": "denied",
    "AccountProblem": "denied",
    "AllAccessDisabled": "denied",
    "MethodNotAllowed": "denied",
    "403": "denied",
    "405": "denied",
    "InvalidAccessKeyId": "credentials",
    "SignatureDoesNotMatch": "credentials",
    "AuthFailure": "credentials",
    "401": "credentials",
    "ExpiredToken": "expired",
    "ExpiredTokenException": "expired",
    "InvalidToken": "expired",
    "TokenRefreshRequired": "expired",
    "RequestExpired": "expired",
    "NoSuchBucket": "no bucket",
    "NoSuchKey": "missing object",
    "404": "missing object",
    "RequestTimeTooSkewed": "clock",
    "AuthorizationHeaderMalformed": "region",
    "IllegalLocationConstraintException": "region",
    "PermanentRedirect": "region",
    "301": "region",
    "SlowDown": "throttled",
    "ServiceUnavailable": "throttled",
    "RequestLimitExceeded": "throttled",
    "Throttling": "throttled",
    "TooManyRequests": "throttled",
    "429": "throttled",
    "503": "throttled",
    "InternalError": "throttled",
    "500": "throttled",
    "502": "throttled",
    "504": "throttled",
    "RequestTimeout": "unreachable",
}
_KIND_BY_CLASS: dict[str, Kind] = {
    "NoCredentialsError": "credentials",
    "PartialCredentialsError": "credentials",
    "CredentialRetrievalError": "credentials",
    "ProfileNotFound": "credentials",
    "NoAuthInRequest": "credentials",
    "TokenRetrievalError": "expired",
    "UnauthorizedSSOTokenError": "expired",
    "SSOTokenLoadError": "expired",
    "EndpointConnectionError": "unreachable",
    "ConnectTimeoutError": "unreachable",
    "ReadTimeoutError": "unreachable",
    "ConnectionClosedError": "unreachable",
    "HTTPClientError": "unreachable",
    "SSLError": "unreachable",
    "ProxyConnectionError": "unreachable",
    "ClientPayloadError": "unreachable",
    "FSTimeoutError": "unreachable",
    "IncompleteRead": "unreachable",
    "ResponseStreamingError": "unreachable",
    "RemoteMissingDepsError": "support",
    "TimeoutError": "unreachable",
    "ConnectionError": "unreachable",
    "PermissionError": "denied",
    "FileNotFoundError": "missing object",
}
_KIND_BY_NUMBER: dict[int, Kind] = {
    errno.ENOSPC: "disk full",
    errno.EDQUOT: "disk full",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EROFS: "denied",
}
_MEANING: dict[Kind, tuple[str, str]] = {
    "credentials": (
        "does not know these credentials",
        "Put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of this store into .env (see "
        ".env.example).",
    ),
    "expired": (
        "says that the token has expired",
        "Get a new one (`aws sso login`, or new keys and AWS_SESSION_TOKEN in .env).",
    ),
    "denied": (
        "does not allow it",
        "These credentials need to list, read and write there; a read-only remote cannot be "
        "backed up to.",
    ),
    "no bucket": ("has no such bucket", "Make the bucket, or run `lifeboat remote set URL`."),
    "clock": (
        "says that this machine's clock is wrong",
        "Set the clock (`timedatectl set-ntp true`).",
    ),
    "region": (
        "lies in another region",
        "Set AWS_DEFAULT_REGION in .env to the region of the bucket.",
    ),
    "throttled": ("is overloaded or failing", "Run it again in a while: what arrived stays."),
    "unreachable": (
        "cannot be reached, or the connection broke",
        "Check the network and the endpoint, then run it again: what arrived stays.",
    ),
    "disk full": ("has no space left", "Free some space there, then run it again."),
    "missing object": ("does not have what was asked for", ""),
    "support": ("cannot be opened with what is installed", ""),
    "other": ("failed", ""),
}


class StoreError(UserError):
    """A remote that failed, in one readable paragraph.

    Args:
        kind: what it means.
        url: the remote, or what of it was asked for.
        said: the error's own words.
    """

    def __init__(self, kind: Kind, url: str, said: str) -> None:
        fact, cure = _MEANING[kind]
        words = f" ({said})" if said else ""
        super().__init__(f"{url} {fact}{words}.", cure)
        self.kind: Kind = kind


@dataclass(frozen=True)
class _Cause:
    kind: Kind
    said: str


@contextmanager
def readable(url: str) -> Iterator[None]:
    """Whatever a store raises inside comes out as a `StoreError` about `url`.

    Raises:
        StoreError: for every error but a `UserError`.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # every kind of store has its own
        cause = _cause(error)
        raise StoreError(cause.kind, url, cause.said) from error


def kind(error: BaseException) -> Kind:
    """What an error of a store means."""
    return _cause(error).kind


def _cause(error: BaseException) -> _Cause:
    """What the first error of the chain that tells anything tells."""
    chain = list(_chain(error))
    told = [_by_code(link) for link in chain] + [_by_class(link) for link in chain]
    return next((cause for cause in told if cause), _Cause("other", _words(_plain(error))))


def _by_code(error: BaseException) -> _Cause | None:
    """By what an S3 server answered."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return None
    details = response.get("Error", {})
    said = _words(f"{details.get('Code')}: {details.get('Message')}")
    known: Kind = _KIND_BY_CODE.get(str(details.get("Code")), "other")
    return _Cause(known, said)


def _by_class(error: BaseException) -> _Cause | None:
    """By the names of its classes, so that no store's library is imported for it."""
    kinds: list[Kind | None] = [_KIND_BY_CLASS.get(base.__name__) for base in type(error).__mro__]
    number = getattr(error, "errno", None)
    kinds.append(_KIND_BY_NUMBER.get(number) if isinstance(number, int) else None)
    found: Kind | None = next((known for known in kinds if known), None)
    return _Cause(found, _words(_plain(error))) if found else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _plain(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return str(strerror or error) or type(error).__name__


def _words(text: str) -> str:
    """One line of at most 200 characters, without a full stop."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= 200 else line[:199] + "…"
