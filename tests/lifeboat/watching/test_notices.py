import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from metadata_service import MetadataService

from lifeboat.watching import notices
from lifeboat.watching.notices import (
    AwsSpot,
    AzureEvents,
    EndOfCommand,
    GcpPreemption,
    SourceError,
    TouchedFile,
)


@pytest.fixture
def service() -> Iterator[MetadataService]:
    with MetadataService() as running:
        yield running


def waited_for(source: notices.Source) -> notices.Notice:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if notice := source.ask():
            return notice
        time.sleep(0.02)
    raise AssertionError("no notice came")


def test_there_is_none_until_the_service_gives_one_with_the_time_left(
    service: MetadataService,
) -> None:
    source = AwsSpot(service.url)
    assert [source.ask(), source.ask()] == [None, None]
    service.give_notice(120)
    notice = source.ask()
    assert notice is not None
    assert notice.said.startswith("AWS will terminate this instance at 20")
    assert notice.seconds is not None
    assert 110 < notice.seconds <= 120
    assert service.asked == [("PUT", 200), ("GET", 404), ("GET", 404), ("GET", 200)]


def test_a_token_is_renewed_after_half_of_its_life(service: MetadataService) -> None:
    clock = [0.0]
    source = AwsSpot(service.url, now=lambda: clock[0])
    for clock[0] in (0.0, 0.4 * notices.TOKEN_SECONDS, 0.6 * notices.TOKEN_SECONDS):
        assert source.ask() is None
    assert [method for method, _ in service.asked] == ["PUT", "GET", "GET", "PUT", "GET"]


def test_a_token_that_is_refused_is_renewed_at_once(service: MetadataService) -> None:
    source = AwsSpot(service.url)
    assert source.ask() is None
    service.end_by_token.clear()
    service.give_notice()
    assert source.ask() is not None
    assert service.asked[2:] == [("GET", 401), ("PUT", 200), ("GET", 200)]


def test_errors_of_the_service_are_told_and_the_notice_still_comes(
    service: MetadataService,
) -> None:
    source = AwsSpot(service.url)
    service.broken = True
    with pytest.raises(SourceError, match="answers 500 when asked for a token"):
        source.ask()
    service.broken = False
    assert source.ask() is None
    service.broken = True
    with pytest.raises(SourceError, match="answers 500"):
        source.ask()
    service.broken = False
    service.longest_life_s = -1.0
    service.end_by_token.clear()
    with pytest.raises(SourceError, match="answers 401"):
        source.ask()
    service.longest_life_s = 60.0
    service.give_notice()
    assert waited_for(source).said.startswith("AWS will terminate")


def test_no_service_at_all_is_an_error_that_asking_again_may_mend() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        source = AwsSpot(f"http://127.0.0.1:{probe.getsockname()[1]}")
    with pytest.raises(SourceError, match="out of reach"):
        source.ask()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"terminate"', b"{}", b"\xff\xfe"])
def test_an_answer_that_names_no_action_is_no_notice(service: MetadataService, body: bytes) -> None:
    service.body = body
    with pytest.raises(SourceError, match="names no action"):
        AwsSpot(service.url).ask()


@pytest.mark.parametrize("body", [b'{"action": "stop"}', b'{"action": "stop", "time": "soon"}'])
def test_an_action_without_a_time_is_a_notice_all_the_same(
    service: MetadataService, body: bytes
) -> None:
    service.body = body
    assert AwsSpot(service.url).ask() == notices.Notice("AWS will stop this instance")


def test_a_machine_of_gcp_has_notice_once_it_is_preempted(service: MetadataService) -> None:
    source = GcpPreemption(service.url)
    assert source.ask() is None
    service.preempted = b"TRUE"
    assert source.ask() == notices.Notice("GCP preempts this machine", 30.0)
    service.preempted = b"<html>"
    with pytest.raises(SourceError, match="TRUE or FALSE was expected"):
        source.ask()


def azure_event(kind: str, machine: str = "vm-1", before: str | None = None) -> bytes:
    at = before or format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    event = {"EventId": "1", "EventType": kind, "Resources": [machine, "vm-9"], "NotBefore": at}
    return json.dumps({"DocumentIncarnation": 1, "Events": [event]}).encode()


@pytest.mark.parametrize("kind", notices.ENDS)
def test_a_machine_of_azure_has_notice_of_what_ends_it_with_the_time_left(
    service: MetadataService, kind: str
) -> None:
    source = AzureEvents(service.url)
    assert source.ask() is None
    service.events = azure_event(kind)
    notice = source.ask()
    assert notice is not None and notice.seconds is not None
    assert notice.said.startswith(f"Azure's event for this machine is {kind} at ")
    assert 25 < notice.seconds <= 31
    service.events = azure_event(kind, before=" ")
    assert source.ask() == notices.Notice(f"Azure's event for this machine is {kind}")


def test_what_only_freezes_a_machine_or_ends_another_one_is_no_notice(
    service: MetadataService,
) -> None:
    source = AzureEvents(service.url)
    for service.events in (azure_event("Freeze"), azure_event("Preempt", "vm-2")):
        assert source.ask() is None


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"Events": [{}]}', b'{"Events": 1}'])
def test_what_is_no_list_of_events_is_told(service: MetadataService, body: bytes) -> None:
    service.events = body
    with pytest.raises(SourceError, match="no list of events"):
        AzureEvents(service.url).ask()


@pytest.mark.parametrize("source", [AwsSpot, GcpPreemption, AzureEvents])
def test_a_cloud_whose_service_is_broken_or_gone_is_asked_again(
    service: MetadataService, source: type[notices.MetadataService]
) -> None:
    service.broken = True
    with pytest.raises(SourceError, match="answers 500"):
        source(service.url).ask()
    service.broken = False
    assert source(service.url).ask() is None
    with pytest.raises(SourceError, match="out of reach"):
        source("http://127.0.0.1:9").ask()


def test_no_proxy_is_asked_for_the_metadata(
    service: MetadataService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert AwsSpot(service.url).ask() is None


def test_a_file_gives_notice_when_it_is_made_or_touched_again(tmp_path: Path) -> None:
    path = tmp_path / "notice"
    source = TouchedFile(path)
    assert source.ask() is None
    path.touch()
    assert source.ask() == notices.Notice(f"{path} was touched")
    later = TouchedFile(path)
    assert later.ask() is None
    os.utime(path, (1, 1))
    assert later.ask() is not None


def test_a_command_gives_notice_when_it_ends_well(tmp_path: Path) -> None:
    source = EndOfCommand(f"until test -e {tmp_path}/now; do sleep 0.02; done")
    assert source.ask() is None
    assert source.ask() is None
    (tmp_path / "now").touch()
    assert waited_for(source).said.endswith("done` ended")
    source.close()


def test_a_command_that_fails_gives_no_notice_and_is_started_again(tmp_path: Path) -> None:
    source = EndOfCommand(f"echo x >> {tmp_path}/runs; test $(wc -l < {tmp_path}/runs) -ge 2")
    with pytest.raises(SourceError, match="ended with code 1, which is no notice"):
        waited_for(source)
    assert waited_for(source)


def test_closing_ends_the_command_and_what_it_started(tmp_path: Path) -> None:
    source = EndOfCommand(f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    assert source.ask() is None
    pid = tmp_path / "pid"
    while not pid.exists() or not pid.read_text().endswith("\n"):
        time.sleep(0.02)
    source.close()
    deadline = time.monotonic() + 20
    while _runs(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    source.close()


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
