"""Many requests as a stream: as many at once as their archives bear, outcomes as they come, and never more in memory than a window.

The caller's thread reads the requests and the cache; worker threads of each archive ask it. Threads are daemons and are told to stop when
the stream ends in any way, so an interrupt neither waits for a slow archive nor leaves anything under a final name.
"""

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable

from tuningfork.archives.request import Fetched, Request
from tuningfork.archives.stopping import Stop
from tuningfork.errors import TuningforkError

WINDOW = 256
"""Requests read ahead of the outcomes given out, over all archives: more than any archive bears at once, small enough for any memory."""

# An interrupt waits so long for threads that are between two steps; one that waits for an archive's first byte is left to end by itself.
FAREWELL_S = 3.0

Outcome = Fetched | TuningforkError


@dataclasses.dataclass(frozen=True)
class Hands:
    """What a batch needs of a transport.

    Attributes
    ----------
    key
        The identity of a request: equal ones are fetched once.
    recall
        The reply to a request with this key if it is in the cache, without asking anybody.
    fetch
        The reply, from wherever it comes; ends with `Stopped` when told to.
    workers
        Archive's name -> threads that may work on its requests.
    """

    key: Callable[[Request], str]
    recall: Callable[[Request, str], Fetched | None]
    fetch: Callable[[Request, Stop], Fetched]
    workers: Callable[[str], int]


def stream(requests: Iterable[Request], hands: Hands, stop: Stop, *, window: int = WINDOW) -> Generator[tuple[int, Outcome], None, None]:
    """(index, reply or error) of each request, as they come; the rest is left undone when the iterator is closed.

    Parameters
    ----------
    requests
        Read one at a time, at most `window` ahead; may be without end.
    hands
        How to fetch.
    stop
        Set when the stream ends, in whatever way.
    window
        Outcomes that may be under way or wait to be taken.

    Raises
    ------
    Exception
        Anything that a worker met and that is no error of this library.
    """
    done: queue.SimpleQueue[tuple[str, Outcome | Exception]] = queue.SimpleQueue()
    crew = _Crew(hands, stop, done)
    asked_by: dict[str, list[int]] = {}
    under_way = 0
    source = iter(requests)
    index, more = -1, True
    try:
        while more or under_way:
            while under_way and (not more or under_way >= window or not done.empty()):
                key, outcome = done.get()
                if not isinstance(outcome, Fetched | TuningforkError):
                    raise outcome
                indices = asked_by.pop(key)
                under_way -= len(indices)
                for position, asker in enumerate(indices):
                    yield asker, _again(outcome) if position else outcome
            try:
                request = next(source)
            except StopIteration:
                more = False
                continue
            index += 1
            try:
                key = hands.key(request)
                if key not in asked_by and (found := hands.recall(request, key)) is not None:
                    yield index, found
                    continue
            except TuningforkError as error:
                yield index, error
                continue
            under_way += 1
            if key in asked_by:
                asked_by[key].append(index)
                continue
            asked_by[key] = [index]
            crew.submit(key, request)
    finally:
        stop.set()
        crew.dismiss()


def _again(outcome: Outcome) -> Outcome:
    # No request was made for the second of two equal ones.
    return dataclasses.replace(outcome, from_cache=True) if isinstance(outcome, Fetched) else outcome


class _Crew:
    """The threads of a batch, a few for each archive, started when there is work for them."""

    def __init__(self, hands: Hands, stop: Stop, done: "queue.SimpleQueue[tuple[str, Outcome | Exception]]") -> None:
        self.hands, self.stop, self.done = hands, stop, done
        self.tasks: dict[str, queue.SimpleQueue[tuple[str, Request] | None]] = {}
        self.threads: dict[str, list[threading.Thread]] = {}

    def submit(self, key: str, request: Request) -> None:
        """Put a request in its archive's queue."""
        name = request.archive
        tasks = self.tasks.setdefault(name, queue.SimpleQueue())
        threads = self.threads.setdefault(name, [])
        tasks.put((key, request))
        if len(threads) < self.hands.workers(name):
            threads.append(threading.Thread(target=self._work, args=(tasks,), name=f"{name}-{len(threads)}", daemon=True))
            threads[-1].start()

    def dismiss(self) -> None:
        """Send all threads home; the stop was set before."""
        for name, tasks in self.tasks.items():
            for _ in self.threads[name]:
                tasks.put(None)
        until = time.monotonic() + FAREWELL_S
        for threads in self.threads.values():
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))

    def _work(self, tasks: "queue.SimpleQueue[tuple[str, Request] | None]") -> None:
        while (task := tasks.get()) is not None:
            key, request = task
            try:
                self.stop.check()
                self.done.put((key, self.hands.fetch(request, self.stop)))
            except Exception as error:  # also Stopped: nobody may wait for an outcome that does not come
                self.done.put((key, error))
