"""This machine's clock against the Date header of the place where data goes."""

import ssl
import time
import urllib.request
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from lifeboat.deadlines import Deadline
from lifeboat.items import Item
from lifeboat.remotes.remote import Remote

WARN_S = 60.0
REFUSED_S = 900.0
"""S3 refuses a request that is signed fifteen minutes early or late (RequestTimeTooSkewed)."""
_SERVERS = {"s3": "https://s3.amazonaws.com/", "gs": "https://storage.googleapis.com/"}
_CURE = "Set the clock (`sudo timedatectl set-ntp true`), or rent another machine."


def server(remote: Remote | None, git_url: str) -> str:
    """Address whose clock is compared with ours, empty where there is none to ask."""
    data = remote.endpoint or remote.url if remote else ""
    scheme = urlsplit(data).scheme
    if scheme in _SERVERS:
        return _SERVERS[scheme]
    for address in (data, git_url):
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname:
            port = f":{parts.port}" if parts.port else ""
            return f"{parts.scheme}://{parts.hostname}{port}/"
    return ""


def item(address: str, deadline: Deadline) -> Item:
    """How far the clock is from the server's, to the second."""
    if not address:
        return Item("The clock was not compared: no remote speaks HTTP.")
    host = urlsplit(address).hostname
    try:
        theirs = _date(address, max(0.1, deadline.left))
    except (OSError, ValueError) as error:
        return Item(f"The clock was not compared: {host} sent no time ({error}).")
    skew = time.time() - theirs
    size = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'}"
    if abs(skew) < WARN_S:
        return Item(f"The clock agrees with {host} within {max(2, round(abs(skew)))} s.")
    if abs(skew) < REFUSED_S:
        return Item(f"The clock is {size} {host}.", "warning", _CURE)
    fact = f"The clock is {size} {host}: signed requests are refused."
    return Item(fact, "wrong", _CURE)


def _date(address: str, seconds: float) -> float:
    """Seconds of the epoch in a server's answer, whatever its status.

    Nothing is sent and nothing but the header is read, so the certificate is not checked: with a
    wrong clock every certificate looks wrong.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(_AsItIs, urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(address, method="HEAD")
    with opener.open(request, timeout=seconds) as answer:
        date = answer.headers["Date"]
    if not date:
        raise ValueError("no Date header")
    return parsedate_to_datetime(date).timestamp()


class _AsItIs(urllib.request.HTTPErrorProcessor):
    """Takes an error for an answer, and follows nothing: this very server is asked."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response
