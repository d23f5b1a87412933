import threading
import time
from collections.abc import Callable

from lifeboat.deadlines import Deadline
from lifeboat.remotes.store_errors import StoreError
from lifeboat.saving import jobs
from lifeboat.saving.jobs import Job, Sent
from lifeboat.stage.errors import UserError


def job(
    name: str, act: Callable[[], None], n_bytes: int = 1, rank: int = 0, after: str = ""
) -> Job:
    return Job(name, name, "stage", rank, n_bytes, act, frozenset(filter(None, after.split())))


def names(done: tuple[Job, ...]) -> list[str]:
    return [one.name for one in done]


def reasons(sent: Sent) -> dict[str, str]:
    return {one.name: reason for one, reason in sent.left}


def fail(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def nothing() -> None:
    """Sends at once."""


def test_small_and_rare_things_go_first_and_a_list_right_after_its_files() -> None:
    order: list[str] = []
    wanted = [
        job(name, lambda name=name: order.append(name), n_bytes, rank, after)
        for name, n_bytes, rank, after in (
            ("activations", 5, 5, ""),
            ("weights", 9, 1, ""),
            ("results.dir", 1, 0, "results-2 results-1"),
            ("results-2", 2, 0, ""),
            ("results-1", 1, 0, ""),
        )
    ]
    sent = jobs.run(wanted, Deadline(), n_threads=1)
    assert order == ["results-1", "results-2", "results.dir", "weights", "activations"]
    assert sorted(names(sent.done)) == sorted(order)
    assert sent.left == ()


def test_a_list_stays_back_when_one_of_its_files_fails() -> None:
    wanted = [
        job("a", nothing),
        job("b", fail(UserError("it is damaged."))),
        job("list.dir", nothing, after="a b"),
    ]
    sent = jobs.run(wanted, Deadline())
    assert names(sent.done) == ["a"]
    assert reasons(sent) == {"b": "it is damaged.", "list.dir": "1 of its files are not there"}


def test_what_hangs_is_named_and_left_behind_at_the_deadline() -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(600)

    wanted = [job("quick", nothing), job("stuck", hang, rank=1)]
    start = time.monotonic()
    sent = jobs.run(wanted, Deadline.after(0.3), n_threads=2)
    release.set()
    assert time.monotonic() - start < 100
    assert names(sent.done) == ["quick"]
    assert "on its way" in reasons(sent)["stuck"]


def test_nothing_is_begun_that_cannot_end_in_time() -> None:
    begun: list[str] = []

    def slowly(name: str, seconds: float) -> Callable[[], None]:
        def act() -> None:
            begun.append(name)
            time.sleep(seconds)

        return act

    wanted = [
        job("first", slowly("first", 0.2), 2 * 2**20),
        job("huge", slowly("huge", 9), 2**30, rank=1),
        job("small", slowly("small", 0), 10, rank=2),
    ]
    sent = jobs.run(wanted, Deadline.after(5), n_threads=1)
    assert begun == ["first", "small"]
    assert "it takes about" in reasons(sent)["huge"]


def test_a_remote_that_takes_nothing_is_not_asked_for_every_object() -> None:
    tried: list[int] = []

    def act() -> None:
        tried.append(1)
        raise StoreError("denied", "s3://study", "AccessDenied")

    sent = jobs.run([job(str(n), act) for n in range(100)], Deadline(), n_threads=1)
    assert len(tried) == 1
    assert len(sent.left) == 100
    (reason,) = set(reasons(sent).values())
    assert "nothing more was tried after this: s3://study does not allow it" in reason
    tried.clear()

    def overloaded() -> None:
        tried.append(1)
        raise StoreError("throttled", "s3://study", "SlowDown")

    jobs.run([job(str(n), overloaded) for n in range(100)], Deadline(), n_threads=1)
    assert len(tried) == jobs._IN_A_ROW


def test_damaged_objects_do_not_stop_the_others() -> None:
    wanted = [job(f"bad {n}", fail(UserError("damaged"))) for n in range(30)]
    sent = jobs.run([*wanted, job("good", nothing, rank=9)], Deadline(), n_threads=1)
    assert names(sent.done) == ["good"]
