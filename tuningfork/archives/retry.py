"""Asking again: which faults are retried, after what pause, and when it is enough."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

from tuningfork.archives.download import Transient

log = logging.getLogger(__name__)

# Progress of this much between two failures makes the count of failures begin anew: a mosaic of gigabytes may be cut many times.
WORTHWHILE_BYTES = 2**20

T = TypeVar("T")


def persist(
    ask: Callable[[], T],
    *,
    what: str,
    attempts: int,
    backoff_s: float,
    longest_pause_s: float,
    gained: Callable[[], int],
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call `ask` until it gives something, at most `attempts` times without worthwhile progress.

    Parameters
    ----------
    ask
        Raises `Transient` for a fault that may pass; anything else it raises is final.
    what
        Named in the log.
    attempts
        Fruitless tries in a row before it is enough.
    backoff_s
        Mean of the first pause in seconds; each further one doubles, drawn at random so that many clients do not come back together.
    longest_pause_s
        Cap of every pause, also of the one that an archive asked for.
    gained
        Bytes that the last try brought and that stay.
    sleep
        How to wait; may raise to end the wait.

    Raises
    ------
    Transient
        The last fault.
    """
    fruitless = 0
    jitter = tenacity.wait_random_exponential(multiplier=2 * backoff_s, max=longest_pause_s)

    def attempt() -> T:
        nonlocal fruitless
        try:
            return ask()
        except Transient:
            fruitless = 1 if gained() >= WORTHWHILE_BYTES else fruitless + 1
            raise

    def pause_of(state: tenacity.RetryCallState) -> float:
        asked = getattr(_fault(state), "retry_after", None)
        return min(jitter(state) if asked is None else asked, longest_pause_s)

    def report(state: tenacity.RetryCallState) -> None:
        log.warning("%s: %s; asking again in %.1f s", what, _fault(state), state.upcoming_sleep)

    policy = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Transient),
        stop=lambda state: fruitless >= attempts,
        wait=pause_of,
        before_sleep=report,
        sleep=sleep,
        reraise=True,
    )
    return policy(attempt)


def _fault(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
