"""Work in threads with only a little of it taken ahead, so that memory stays bounded."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

N_THREADS = 16

S = TypeVar("S")
T = TypeVar("T")


def in_threads(
    act: Callable[[S], T], values: Iterable[S], n_threads: int = N_THREADS
) -> Iterator[T]:
    """Results in order, with only a few values taken ahead; an error ends it all."""
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(n_threads)
    try:
        for value in values:
            waiting.append(pool.submit(act, value))
            if len(waiting) > n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
