"""Notices that this machine goes: of a cloud's metadata service, of a file, of a user's command.

Each kind is asked now and then, and answers at once or within seconds. What goes wrong while asking
is told and never ends anything: a metadata service that is out of reach may be back for the notice.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from lifeboat.stage.errors import UserError

METADATA_URL = "http://169.254.169.254"
"""Where AWS, GCP and Azure have their metadata services."""

TOKEN_SECONDS = 600
"""How long a token of the metadata service is asked to live; it is renewed after half of that."""

_TIMEOUT_S = 2.0
_MAX_BYTES = 65536


@dataclass(frozen=True)
class Notice:
    """That the machine goes.

    Attributes:
        said: by whom, and what.
        seconds: time left, where the notice says it.
    """

    said: str
    seconds: float | None = None


class Source:
    """Something that may give a notice; this one never does."""

    name = ""
    """What it is, as the start of a sentence."""

    def ask(self) -> Notice | None:
        """The notice, once there is one.

        Raises:
            SourceError: where it could not be asked.
        """
        return None

    def close(self) -> None:
        """Ends what it has started."""


class SourceError(UserError):
    """A source of notices that could not be asked, and why; asking again may help."""


class MetadataService(Source):
    """A cloud's metadata service, which only the machine itself can ask.

    Args:
        url: of the service.
    """

    def __init__(self, url: str = METADATA_URL) -> None:
        self._url = url.rstrip("/")
        # No proxy may see what is asked, and such services redirect nowhere.
        self._opener = build_opener(ProxyHandler({}), _NoRedirect())

    def _call(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes, str]:
        """Status, body and the service's time."""
        try:
            request = Request(self._url + path, method=method, headers=headers)
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                return answer.status, answer.read(_MAX_BYTES), answer.headers.get("Date", "")
        except HTTPError as error:
            with error:
                return error.code, b"", ""
        except Exception as error:  # of sockets, of HTTP, of a header that cannot be sent
            raise SourceError(f"it is out of reach ({error})") from error

    def _read(self, path: str, headers: dict[str, str]) -> tuple[bytes, str]:
        """Body and time of an answer that has to be there."""
        code, body, date = self._call("GET", path, headers)
        if code != 200:
            raise SourceError(f"it answers {code}")
        return body, date


class AwsSpot(MetadataService):
    """The notice of an AWS spot instance, from its metadata service (IMDSv2).

    A token is fetched by PUT and renewed before it ends or when it is refused; then
    `spot/instance-action` is 404 until the notice, two minutes before the end.

    Args:
        url: of the service.
        now: a clock that never goes back, in seconds.
    """

    name = "AWS's metadata service"

    def __init__(self, url: str = METADATA_URL, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(url)
        self._now, self._token, self._renew_at = now, "", 0.0

    def ask(self) -> Notice | None:
        """As `Source.ask`: the service is out of reach, or answers anything unforeseen."""
        code, body, date = self._get()
        if code == 401:
            self._renew_at = 0.0
            code, body, date = self._get()
        if code == 404:
            return None
        if code != 200:
            raise SourceError(f"it answers {code}")
        return _notice(body, date)

    def _get(self) -> tuple[int, bytes, str]:
        if self._now() >= self._renew_at:
            headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
            code, body, _ = self._call("PUT", "/latest/api/token", headers)
            if code != 200:
                raise SourceError(f"it answers {code} when asked for a token")
            self._token = body.decode("ascii", "replace").strip()
            self._renew_at = self._now() + TOKEN_SECONDS / 2
        headers = {"X-aws-ec2-metadata-token": self._token}
        return self._call("GET", "/latest/meta-data/spot/instance-action", headers)


class GcpPreemption(MetadataService):
    """The notice of a preemptible or spot machine of GCP, up to 30 seconds before the end."""

    name = "GCP's metadata service"

    def ask(self) -> Notice | None:
        """As `Source.ask`: the service is out of reach, or answers neither TRUE nor FALSE."""
        path = "/computeMetadata/v1/instance/preempted"
        body, _ = self._read(path, {"Metadata-Flavor": "Google"})
        said = body.strip().upper()
        if said not in (b"TRUE", b"FALSE"):
            raise SourceError(f"it answers {body[:60]!r}; TRUE or FALSE was expected")
        return Notice("GCP preempts this machine", GCP_SECONDS) if said == b"TRUE" else None


class AzureEvents(MetadataService):
    """The notice of Azure's scheduled events: of a spot machine 30 seconds before the end."""

    name = "Azure's metadata service"

    def ask(self) -> Notice | None:
        """As `Source.ask`: the service is out of reach, or answers what is no list of events."""
        headers = {"Metadata": "true"}
        body, date = self._read("/metadata/scheduledevents?api-version=2020-07-01", headers)
        try:
            events = [event for event in json.loads(body)["Events"] if event["EventType"] in ENDS]
            if not events:
                return None
            machine, _ = self._read(
                "/metadata/instance/compute/name?api-version=2021-02-01&format=text", headers
            )
            mine = [one for one in events if machine.decode().strip() in one["Resources"]]
        except (ValueError, KeyError, TypeError):
            raise SourceError(f"it answers {body[:60]!r}, which is no list of events") from None
        return _azure_notice(mine[0], date) if mine else None


GCP_SECONDS = 30.0
ENDS = ("Preempt", "Terminate", "Redeploy", "Reboot")
"""Events of Azure after which what runs here runs no more; a machine that freezes goes on."""


class TouchedFile(Source):
    """A file that is touched when the machine goes: made, or given a new time.

    Args:
        path: the file; it may exist already.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"The file {path}"
        self._path, self._before = path, _modified(path)

    def ask(self) -> Notice | None:
        """As `Source.ask`, and never an error."""
        is_touched = _modified(self._path) not in (None, self._before)
        return Notice(f"{self._path} was touched") if is_touched else None


class EndOfCommand(Source):
    """A command of the user's that ends with exit code 0 when the notice comes.

    One that ends otherwise gave no notice, and is started again when it is asked next.

    Args:
        command: for the shell.
    """

    def __init__(self, command: str) -> None:
        self.name = f"`{command}`"
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self) -> Notice | None:
        """As `Source.ask`: it ended with another exit code, or cannot be started."""
        if self._process is None:
            self._process = _started(self._command)
        code = self._process.poll()
        if code is None:
            return None
        self.close()
        if code != 0:
            raise SourceError(f"it ended with code {code}, which is no notice; it is started again")
        return Notice(f"{self.name} ended")

    def close(self) -> None:
        """Ends the command and what it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: object, code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


def _notice(body: bytes, date: str) -> Notice:
    """What `spot/instance-action` says; the time left by the service's own clock, if it has one."""
    try:
        value = json.loads(body)
        action = str(value["action"])
    except (ValueError, KeyError, TypeError):
        raise SourceError(f"it answers {body[:60]!r}, which names no action") from None
    time_ = value.get("time")
    try:
        end = datetime.fromisoformat(str(time_)).astimezone(UTC)
        now = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return Notice(f"AWS will {action} this instance at {time_}", (end - now).total_seconds())
    except (ValueError, TypeError):
        return Notice(f"AWS will {action} this instance")


def _azure_notice(event: Any, date: str) -> Notice:
    said = f"Azure's event for this machine is {event['EventType']}"
    try:
        end = parsedate_to_datetime(event["NotBefore"])
        now = parsedate_to_datetime(date) if date else datetime.now(UTC)
        return Notice(f"{said} at {event['NotBefore']}", (end - now).total_seconds())
    except (ValueError, TypeError, KeyError):
        return Notice(said)  # it has begun


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _started(command: str) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise SourceError(f"it could not be started ({error})") from error
