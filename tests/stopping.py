"""Ends of a run in the middle: by a signal that nothing handles, and by one that asks to stop."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lifeboat.stage import interruption


class Killed(BaseException):
    """Stands for a signal that nothing handles."""


@contextmanager
def stopped_at_checkpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What runs inside is asked to stop, and does so at its first checkpoint."""

    def stop() -> None:
        raise SystemExit(interruption.EXIT_CODE)

    with monkeypatch.context() as asked:
        asked.setattr(interruption, "checkpoint", stop)
        with pytest.raises(SystemExit):
            yield
