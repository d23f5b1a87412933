import time

import pytest

from lifeboat.deadlines import Deadline, Later


def test_an_answer_is_waited_for_until_the_deadline_and_no_longer() -> None:
    assert Later(lambda: 3).before(Deadline.after(10)) == 3
    slow = Later(lambda: time.sleep(0.5))
    begin = time.monotonic()
    assert slow.before(Deadline.after(0.05)) is None
    assert time.monotonic() - begin < 0.4


def test_an_error_is_raised_where_the_answer_is_asked_for() -> None:
    def fail() -> int:
        raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        Later(fail).before(Deadline.after(10))
