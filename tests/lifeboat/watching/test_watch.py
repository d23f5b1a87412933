import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from metadata_service import MetadataService

from backtracking import PROJECT_ROOT
from lifeboat.watching import watch
from lifeboat.watching.notices import Notice, Source, SourceError

PART = f"models/base/{'ab' * 32}.{hashlib.sha256(b'one').hexdigest()}.safetensors"
UNFINISHED = """\
  weights-base:
    cmd: mkdir -p models/base
    outs:
      - models/base
"""


class Watched:
    """A running `backtracking watch` and the lines that it has printed."""

    def __init__(self, root: Path, *options: str) -> None:
        # As in a terminal: what a shell starts in the background ignores Ctrl-C.
        heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        code = f"{heeds}; from backtracking.cli import main; main()"
        source = f"{PROJECT_ROOT / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "--root", str(root), "watch", "--every", "0.2s", *options],
            env={**os.environ, "PYTHONPATH": source},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines += iter(self.process.stdout.readline, "")

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + 60
        while words not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.05)

    def end(self) -> int:
        code = self.process.wait(timeout=60)
        self._reader.join()
        return code


@contextmanager
def watching(root: Path, *options: str) -> Iterator[Watched]:
    watched = Watched(root, *options)
    try:
        yield watched
    finally:
        watched.process.kill()
        watched.end()
        assert watched.process.stdout is not None
        watched.process.stdout.close()


@pytest.fixture
def training(project: Path) -> Path:
    """A project with a stage that has a checkpoint, and nothing else to save."""
    with (project / "dvc.yaml").open("a") as file:
        file.write(UNFINISHED)
    (project / ".gitignore").write_text((project / ".gitignore").read_text() + "/models/*\n")
    path = project / ".cache" / "store" / PART
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one")
    return project


def notice_of_aws(_root: Path, service: MetadataService, _watched: Watched) -> str:
    service.give_notice(40)
    return "NOTICE: AWS will terminate this instance at 20"


def notice_of_a_file(root: Path, _service: MetadataService, _watched: Watched) -> str:
    (root.parent / "notice").touch()
    return "NOTICE: "


def notice_by_sigterm(_root: Path, _service: MetadataService, watched: Watched) -> str:
    watched.process.send_signal(signal.SIGTERM)
    return "NOTICE: this process was sent SIGTERM. Backing up within 60 s."


@pytest.mark.parametrize(
    "give",
    [
        notice_by_sigterm,
        pytest.param(notice_of_aws, marks=pytest.mark.slow),
        pytest.param(notice_of_a_file, marks=pytest.mark.slow),
    ],
)
def test_parts_leave_as_they_are_made_and_a_notice_ends_in_a_backup(
    training: Path, give: Callable[[Path, MetadataService, Watched], str]
) -> None:
    with MetadataService() as service:
        file = str(training.parent / "notice")
        aws = ("--aws", "--metadata-url", service.url)
        with watching(training, *aws, "--notice-file", file, "--deadline", "60s") as watched:
            watched.wait_for(f"saved {PART} of weights-base")
            expected = give(training, service, watched)
            code = watched.end()
        assert expected in watched.text
        assert "All 5 objects that dvc.lock names are in" in watched.text
        assert code == 1  # the remotes are on this disk, and that is not saved
    assert watched.text.count(f"saved {PART}") == 1


@pytest.mark.slow
def test_ctrl_c_makes_no_backup_and_says_what_is_not_sent(training: Path) -> None:
    (training.parent / "remote").touch()
    with watching(training) as watched:
        watched.wait_for("NOT SAVED, will be tried again")
        watched.process.send_signal(signal.SIGINT)
        assert watched.end() == 1
    assert "NOTICE" not in watched.text
    assert "Ended. NOT SENT: " in watched.text
    assert PART in watched.text


class Scripted(Source):
    """A source that answers one thing after the other."""

    name = "The source"

    def __init__(self, *answers: Notice | SourceError | None) -> None:
        self.answers = list(answers)

    def ask(self) -> Notice | None:
        answer = self.answers.pop(0)
        if isinstance(answer, SourceError):
            raise answer
        return answer

    def close(self) -> None:
        """Nothing was started."""


def test_a_source_that_fails_is_told_of_when_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.01)
    said: list[str] = []
    failure = SourceError("it answers 500")
    source = Scripted(failure, failure, None, None, failure, Notice("now"))
    options = watch.Options([source], 1.0, 1.0, said.append)
    assert watch._wait(options, threading.Event(), lambda: False) == Notice("now")
    assert (
        said
        == [
            "The source: it answers 500.",
            "The source: it answers again.",
            "The source: it answers 500.",
            "The source: it answers again.",
        ][:3]
    )


def test_the_time_for_a_backup_is_what_the_notice_leaves() -> None:
    assert watch._seconds(Notice("x"), 90.0) == 90.0
    assert watch._seconds(Notice("x", 120.0), 90.0) == 90.0
    assert watch._seconds(Notice("x", 60.0), 90.0) == 55.0
    assert watch._seconds(Notice("x", -30.0), 90.0) == 5.0
