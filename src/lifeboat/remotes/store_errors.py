"""What a remote's failure means: the errors of any store as one readable kind, with its cure."""

import errno
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from lifeboat import steps
from lifeboat.stage import failures
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
    "archived",
    "being restored",
    "sealed",
    "checksum",
    "listing",
    "support",
    "other",
]

OF_ONE_OBJECT: tuple[Kind, ...] = (
    "missing object",
    "archived",
    "being restored",
    "sealed",
    "denied",
    "other",
)
"""Kinds that say nothing of the next object: another may be readable."""

_WORDS: dict[Kind, str] = {
    "credentials": "InvalidAccessKeyId SignatureDoesNotMatch AuthFailure 401 NoCredentialsError "
    "PartialCredentialsError CredentialRetrievalError ProfileNotFound NoAuthInRequest",
    "expired": "ExpiredToken ExpiredTokenException InvalidToken TokenRefreshRequired "
    "RequestExpired TokenRetrievalError UnauthorizedSSOTokenError SSOTokenLoadError",
    "denied": "AccessDenied AccountProblem AllAccessDisabled MethodNotAllowed 403 405 "
    "PermissionError",
    "no bucket": "NoSuchBucket",
    "clock": "RequestTimeTooSkewed",
    "region": "AuthorizationHeaderMalformed IllegalLocationConstraintException PermanentRedirect "
    "TemporaryRedirect Redirect 301 302 307 308 RecursionError",
    "throttled": "SlowDown ServiceUnavailable RequestLimitExceeded Throttling TooManyRequests 429 "
    "503 InternalError 500 502 504",
    "unreachable": "RequestTimeout EndpointConnectionError ConnectTimeoutError ReadTimeoutError "
    "ConnectionClosedError HTTPClientError SSLError ProxyConnectionError ClientPayloadError "
    "FSTimeoutError IncompleteRead ResponseStreamingError TimeoutError ConnectionError 407",
    "disk full": "QuotaExceeded InsufficientStorage XMinioStorageFull 507",
    "missing object": "NoSuchKey 404 FileNotFoundError",
    "archived": "InvalidObjectState BlobArchived",
    "sealed": "KMS.DisabledException KMS.NotFoundException KMS.InvalidStateException "
    "KMS.KMSInvalidStateException KMS.AccessDeniedException",
    "checksum": "MissingContentMD5 InvalidTrailer MalformedTrailerError",
    "support": "RemoteMissingDepsError",
}
"""What S3 servers answer, and names of classes of errors: no store's library is imported."""

_KIND_BY_PHRASE: dict[str, Kind] = {
    "kms:": "sealed",
    "server side encryption": "sealed",
    "content-md5": "checksum",
    "checksum": "checksum",
    "trailer": "checksum",
}
_VAGUE = ("InvalidRequest", "InvalidArgument", "BadRequest", "NotImplemented", "AccessDenied")
"""Codes that may mean anything; a phrase of the sentence, in small letters, tells more."""

_KIND_BY_WORD: dict[str, Kind] = {w: kind for kind, words in _WORDS.items() for w in words.split()}
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
        "lies in another region, or sends elsewhere",
        "Set AWS_DEFAULT_REGION in .env to the region of the bucket; with an endpoint of your own: "
        "give the address that it leads to (`curl -sI ENDPOINT`, often https).",
    ),
    "throttled": ("is overloaded or failing", "Run it again in a while: what arrived stays."),
    "unreachable": (
        "cannot be reached, or the connection broke",
        "Check the network, its proxy and the endpoint, then run it again: what arrived stays.",
    ),
    "disk full": ("has no space left", "Free some space there, then run it again."),
    "missing object": ("does not have what was asked for", ""),
    "archived": (
        "is archived and cannot be read",
        "Ask for it with `{restore}` (for INTELLIGENT_TIERING `--restore-request '{{}}'`), wait "
        "for hours, and run this again; and take the bucket's rule away that archives.",
    ),
    "being restored": (
        "is on its way out of the archive and cannot be read yet",
        "Wait until `aws s3api head-object` says that it is done (hours), and run this again.",
    ),
    "sealed": (
        "is encrypted with a key that may not be used",
        "Allow these credentials to use the key (`kms:Decrypt`), or give the customer's own to "
        "DVC's remote (`sse_customer_key`).",
    ),
    "checksum": (
        "disagrees about checksums",
        "Change AWS_REQUEST_CHECKSUM_CALCULATION in .env: `when_required` for a store that "
        "refuses them, nothing for one that wants them (Object Lock).",
    ),
    "listing": (
        "cannot be listed to the end",
        "Its listings are broken (an old server, or a proxy between): have it mended, or run "
        "`lifeboat remote set URL` with another one.",
    ),
    "support": ("cannot be opened with what is installed", ""),
    "other": ("failed", ""),
}


class StoreError(UserError):
    """A remote that failed, in one readable paragraph.

    Args:
        kind: what it means.
        url: the remote, or what of it was asked for.
        said: the error's own words.

    Attributes:
        kind: what it means.
        reason: that and the words, without `url` and without the full stop.
        cure: what to do, empty where that is not known.
    """

    def __init__(self, kind: Kind, url: str, said: str) -> None:
        fact, cure = _MEANING[kind]
        self.kind: Kind = kind
        self.reason = f"{fact} ({said})" if said else fact
        self.cure = cure.format(restore=_restore_command(url))
        super().__init__(f"{url} {self.reason}.", self.cure)


@contextmanager
def readable(url: str) -> Iterator[None]:
    """Whatever a store raises inside comes out as a `StoreError` about `url`.

    Raises:
        StoreError: for every error but a `UserError`.
    """
    try:
        yield
    except (UserError, *steps.ENDINGS):
        raise
    except BaseException as error:  # every kind of store has its own
        raise StoreError(*_cause(error, url)) from error


def kind(error: BaseException) -> Kind:
    """What an error of a store means."""
    return _cause(error)[0]


def _cause(error: BaseException, url: str = "") -> tuple[Kind, str, str]:
    """What the first error of the chain that tells anything tells: its kind, `url`, its words."""
    chain = list(failures.chain(error))
    told = [_by_code(link) for link in chain] + [_by_class(link) for link in chain]
    kind, said = next(filter(None, told), ("other", _plain(error)))
    return kind, url, failures.in_line(said, 200)


def _by_code(error: BaseException) -> tuple[Kind, str] | None:
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return None
    details = response.get("Error", {})
    code, message = str(details.get("Code")), str(details.get("Message"))
    sentence = message.lower() if code in _VAGUE else ""
    kinds: list[Kind] = [kind for phrase, kind in _KIND_BY_PHRASE.items() if phrase in sentence]
    status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    status = "" if status == "404" else status  # of what, only a code tells
    kinds.append(_KIND_BY_WORD.get(code, _KIND_BY_WORD.get(status, "other")))
    return kinds[0], f"{code.strip() or status}: {message}".removesuffix(": ")


def _restore_command(url: str) -> str:
    """What brings an object of S3 out of its archive for a week."""
    bucket, _, key = url.partition("://")[2].partition("/")
    where = f"--bucket {shlex.quote(bucket)} --key {shlex.quote(key)}"
    return f"aws s3api restore-object {where} --restore-request Days=7"


def _by_class(error: BaseException) -> tuple[Kind, str] | None:
    kinds: list[Kind | None] = [_KIND_BY_WORD.get(base.__name__) for base in type(error).__mro__]
    kinds.append(_KIND_BY_NUMBER.get(getattr(error, "errno", None) or 0))
    found: Kind | None = next((known for known in kinds if known), None)
    return (found, _plain(error)) if found else None


def _plain(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
