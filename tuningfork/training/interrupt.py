"""Requests to save that come while a training runs: signals of a user or a scheduler, and a clock."""

import signal
import threading
import time
from collections.abc import Iterable
from enum import IntEnum
from types import FrameType
from typing import Any

__all__ = ["STOPPING", "Interruption", "Wish", "handle"]

STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGXCPU") if hasattr(signal, name))
"""What asks a training to save and stop: a scheduler or the user, and the signals that schedulers send before a time limit is reached."""


class Wish(IntEnum):
    """What a training should do at its next step; of several processes the largest counts."""

    NOTHING = 0
    SAVE = 1
    STOP = 2


class Interruption:
    """Notes, as a context, the signals of `STOPPING`, and when the state was saved last.

    A signal only leaves a note, for the training to read between two steps, so a step is never cut in two; a second SIGINT is a KeyboardInterrupt
    at once. Handlers are set in the main thread alone (Python knows no others), and put back at the end.

    Parameters
    ----------
    save_minutes
        Minutes after which `wish` asks for another save.
    """

    def __init__(self, save_minutes: float = 10.0) -> None:
        self.save_minutes = save_minutes
        self.signal: signal.Signals | None = None
        self._before: list[tuple[int, Any]] = []
        self.saved()

    def __enter__(self) -> "Interruption":
        self._before = handle(STOPPING, self._note)
        self.saved()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)
        self._before = []

    @property
    def wish(self) -> Wish:
        """What is asked for now."""
        if self.signal is not None:
            return Wish.STOP
        return Wish.SAVE if time.monotonic() - self._saved >= 60 * self.save_minutes else Wish.NOTHING

    def saved(self) -> None:
        """Start the clock again."""
        self._saved = time.monotonic()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)


def handle(numbers: Iterable[int], handler: Any) -> list[tuple[int, Any]]:
    """Set a handler of those signals that are not ignored, in the main thread (in another, of none); (signal, handler before) of each."""
    if threading.current_thread() is not threading.main_thread():
        return []
    heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    return [(number, signal.signal(number, handler) or signal.SIG_DFL) for number in heard]
