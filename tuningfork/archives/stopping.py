"""Ending work in other threads: pauses end at once, bodies that are being received are cut, and nothing new is begun."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Protocol


class Stopped(Exception):
    """The work was told to end. No error of the library: it never reaches a user, and nothing that handles errors swallows it."""


class Receiving(Protocol):
    """A reply whose reading another thread can end; urllib3's responses are."""

    def shutdown(self) -> None:
        """End any read."""


class Stop:
    """A request to end, seen by all threads that work for one batch."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._guard = threading.Lock()
        self._open: list[Receiving] = []

    def set(self) -> None:
        """End all pauses, cut all replies, and let each thread meet `Stopped` at its next step."""
        self._event.set()
        with self._guard:
            for reply in self._open:
                with contextlib.suppress(Exception):  # it may just have ended by itself
                    reply.shutdown()

    @property
    def is_set(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise `Stopped` if the end was asked for."""
        if self._event.is_set():
            raise Stopped

    def pause(self, seconds: float) -> None:
        """Sleep, as `time.sleep`, but raise `Stopped` as soon as the end is asked for."""
        if self._event.wait(seconds):
            raise Stopped

    @contextlib.contextmanager
    def receiving(self, reply: Receiving) -> Iterator[None]:
        """The reply is cut if the end is asked for within the block."""
        with self._guard:
            self._open.append(reply)
        try:
            self.check()
            yield
        finally:
            with self._guard:
                self._open.remove(reply)
