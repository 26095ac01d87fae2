"""The polite rate, on a clock that the test turns."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork.archives.rate import RateLimit


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


@settings(deadline=None, max_examples=30)
@given(rate=st.floats(0.2, 20), start=st.floats(1e9, 2e9), pauses=st.lists(st.floats(0, 3), min_size=2, max_size=15))
def test_no_two_requests_share_a_slot_and_each_waits_for_its_own(tmp_path_factory, rate, start, pauses):
    clock = Clock(start)
    limits = [RateLimit(tmp_path_factory.mktemp("shared"), rate, clock=clock, sleep=clock.sleep)]
    limits.append(RateLimit(limits[0].folder, rate, clock=clock, sleep=clock.sleep))
    slots, times = [], []
    for i, pause in enumerate(pauses):
        clock.sleep(pause)
        slots.append(limits[i % 2].wait())
        times.append(clock.now)
    assert len(set(slots)) == len(slots)
    assert all(time >= slot / rate - 1e-6 for slot, time in zip(slots, times, strict=True))
    span = times[-1] - times[0]
    assert len(times) <= span * rate + 2.001


def test_threads_take_different_slots_and_the_past_is_forgotten(tmp_path):
    clock, taken = Clock(1000.0), []
    limit = RateLimit(tmp_path, 2.0, clock=clock, sleep=lambda seconds: None)
    threads = [threading.Thread(target=lambda: taken.append(limit.wait())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(2000, 2020))
    clock.now += 100
    limit.wait()
    assert [p.name for p in tmp_path.iterdir()] == ["2200"]


@settings(deadline=None, max_examples=30)
@given(rate=st.floats(0.5, 20), connections=st.integers(1, 8), slack=st.floats(1.0, 1.3), data=st.data())
def test_connections_that_bear_the_rate_reach_it(tmp_path_factory, rate, connections, slack, data):
    """Requests as long as `connections` at that `rate` allow, and up to a third shorter, of uneven length: nine tenths of the rate and not more than it."""
    clock = Clock(1e9)
    limit = RateLimit(tmp_path_factory.mktemp("busy"), rate, burst=connections, clock=clock, sleep=clock.sleep)
    mean = connections / rate / slack
    free, started = [clock.now] * connections, []
    for _ in range(30 * connections):
        clock.now = free[0]
        limit.wait()
        started.append(clock.now)
        free[0] = clock.now + mean * data.draw(st.sampled_from([0.8, 1.0, 1.2]))
        free.sort()
    span = max(started) - started[0]
    assert len(started) <= span * rate + connections + 2
    assert len(started) >= 0.9 * span * rate


def test_a_wait_that_is_ended_gives_its_slot_back(tmp_path):
    clock = Clock(1000.0)

    def tired(seconds: float) -> None:
        raise KeyboardInterrupt

    RateLimit(tmp_path, 1.0, clock=clock, sleep=clock.sleep).wait()
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            RateLimit(tmp_path, 1.0, clock=clock).wait(tired)
    assert [path.name for path in tmp_path.iterdir()] == ["1000"]
    assert RateLimit(tmp_path, 1.0, clock=clock, sleep=clock.sleep).wait() == 1001


def test_a_bucket_is_as_deep_as_its_burst(tmp_path):
    clock = Clock(1000.0)
    limit = RateLimit(tmp_path, 1.0, burst=3, clock=clock, sleep=clock.sleep)
    assert [limit.wait() for _ in range(6)] == [997, 998, 999, 1000, 1001, 1002]
    assert clock.now == 1002.0
    clock.now += 1000
    assert limit.wait() == 1999, "a long lull fills it no deeper"
