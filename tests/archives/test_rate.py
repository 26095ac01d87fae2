"""The polite rate, on a clock that the test turns."""

import threading

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
