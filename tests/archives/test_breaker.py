"""An archive that is down: left alone, probed now and then, waited for as long as patience has it, and never for ever."""

import dataclasses
import logging
import threading

import pytest
from misbehaving_server import Server, content, fits_bytes, status

from tuningfork.archives.breaker import DOWN_AFTER, SICK_AFTER, Breaker, Down, Patience
from tuningfork.archives.download import Transient
from tuningfork.archives.request import ARCHIVES, Fetched, Request
from tuningfork.errors import ArchiveError

BODY = fits_bytes()
PATH = "/missions/image.fits"


class Clock:
    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["one process", "all processes"])
def breakers(request, tmp_path, clock):
    """Two views of one breaker: the same object, or two that share a folder."""
    if request.param == "one process":
        breaker = Breaker(None, cooldown_s=10, clock=clock)
        return breaker, breaker
    return tuple(Breaker(tmp_path, cooldown_s=10, clock=clock) for _ in range(2))


def test_it_opens_after_failures_in_a_row_and_says_since_when_and_why(breakers, clock):
    first, second = breakers
    for _ in range(DOWN_AFTER):
        assert second.admit(5) == 5
        first.failed("HTTP 503", away=True)
        clock.now += 1
    with pytest.raises(Down, match=r"down since 2001-09-09 01:46:40 UTC \(HTTP 503\); asked again in 9 s") as caught:
        second.admit(5)
    assert caught.value.probe_in_s == 9.0
    assert caught.value.away


def test_one_answer_between_failures_keeps_it_closed(breakers):
    first, second = breakers
    for _ in range(3 * DOWN_AFTER):
        first.failed("HTTP 503", away=True)
        second.succeeded()
    assert first.admit(5) == 5


def test_bad_answers_count_less_than_none(breakers):
    first, second = breakers
    for _ in range(SICK_AFTER):
        assert second.admit(5) == 5
        first.failed("HTTP 500", away=False)
    with pytest.raises(Down):
        second.admit(5)


def test_one_probe_in_each_cool_down_and_its_success_closes(breakers, clock):
    first, second = breakers
    for _ in range(DOWN_AFTER):
        first.failed("no answer", away=True)
    for _ in range(3):
        with pytest.raises(Down):
            first.admit(5)
        clock.now += 10
        assert second.admit(5) == 1, "a single try"
        with pytest.raises(Down):
            first.admit(5)
        second.failed("no answer", away=True)
    clock.now += 10
    assert first.admit(5) == 1
    first.succeeded()
    assert second.admit(5) == 5
    assert first.outage is second.outage is None


def test_a_prober_that_died_blocks_only_its_own_cool_down(breakers, clock):
    first, second = breakers
    for _ in range(DOWN_AFTER):
        first.failed("no answer", away=True)
    clock.now += 10
    assert first.admit(5) == 1
    clock.now += 10
    assert second.admit(5) == 1


def test_an_outage_of_last_week_is_forgotten(breakers, clock):
    first, second = breakers
    for _ in range(DOWN_AFTER):
        first.failed("no answer", away=True)
    clock.now += 101
    assert second.admit(5) == 5
    first.failed("no answer", away=True)
    assert second.admit(5) == 5, "the count begins anew"


def test_a_damaged_state_is_no_state(tmp_path, clock):
    (tmp_path / "down.json").write_text("{")
    breaker = Breaker(tmp_path, clock=clock)
    assert breaker.admit(5) == 5
    breaker.failed("no answer", away=True)
    assert '"failures": 1' in (tmp_path / "down.json").read_text()


def test_patience_waits_for_the_age_of_the_outage_and_then_is_over(clock):
    breaker = Breaker(None, cooldown_s=10, clock=clock)
    patience, waited = Patience(60, clock), 0.0
    fault: Transient = Transient("no answer", away=True)
    rounds = 0
    while (pause := patience.pause([breaker], [fault], clock.now)) is not None:
        rounds += 1
        clock.now += pause
        waited += pause
        try:
            breaker.admit(3)
        except Down as down:
            fault = down
        else:
            breaker.failed("no answer", away=True)
            fault = Transient("no answer", away=True)
    assert 59 < waited <= 60.1
    assert rounds < 100
    late = Patience(60, clock)
    with pytest.raises(Down) as caught:
        breaker.admit(3)
    pauses = []
    while (pause := late.pause([breaker], [caught.value], clock.now)) is not None:
        pauses.append(pause)
        clock.now += pause
    assert sum(pauses) <= 1.1, "who comes later does not wait"


def test_patience_is_not_for_requests_that_fail_by_their_own_fault(clock):
    breaker = Breaker(None, cooldown_s=10, clock=clock)
    assert Patience(60, clock).pause([breaker], [Transient("HTTP 500")], clock.now) is None
    patience, began = Patience(60, clock), clock.now
    breaker.succeeded()
    assert patience.pause([breaker], [Transient("reset", away=True)], began) is not None, "once more"
    breaker.succeeded()
    assert patience.pause([breaker], [Transient("reset", away=True)], began) is None


# through the transport


@pytest.fixture
def patient(make_transport):
    return lambda seconds, cooldown_s=0.05, **options: make_transport(attempts=2, patience_s=seconds, cooldown_s=cooldown_s, **options)


def test_an_archive_that_comes_back_in_time_gives_everything(server, patient):
    """Down from the beginning; back after 25 requests that it refused."""
    refused = []

    def away(handler):
        refused.append(handler.path)
        if len(refused) >= 25:
            for i in range(30):
                server.on(f"/{i}.fits", content(BODY))
        handler.close_connection = True

    for i in range(30):
        server.on(f"/{i}.fits", away)
    got = [outcome for _, outcome in patient(60.0).fetch_each(Request("mast", f"/{i}.fits") for i in range(30))]
    assert all(isinstance(outcome, Fetched) for outcome in got)


def test_an_archive_that_stays_away_is_left_alone_and_every_request_says_why(server, patient, caplog):
    server.on(PATH, status(503))
    with caplog.at_level(logging.INFO):
        got = [outcome for _, outcome in patient(0.3, cooldown_s=30.0).fetch_each(Request("mast", PATH, {"n": i}) for i in range(60))]
    assert len(got) == 60
    assert all(isinstance(outcome, ArchiveError) for outcome in got)
    assert sum("down since" in str(outcome) and "asked again in" in str(outcome) for outcome in got) >= 40
    # The eight that were under way when it was known, in at most two rounds of two tries.
    assert server.count() <= 32
    assert "archive mast: waiting for it (" in caplog.text
    assert "not asked, for it is down since # # UTC (HTTP 503); asked again in # s (such as" in caplog.text


def test_one_poisoned_address_does_not_close_the_archive(server, patient):
    for i in range(40):
        server.on(f"/{i}.fits", content(BODY))
    for i in (3, 4, 5, 6):
        server.on(f"/{i}.fits", lambda handler: setattr(handler, "close_connection", True))
    got = dict(patient(30.0).fetch_each(Request("mast", f"/{i}.fits") for i in range(40)))
    assert {i for i, outcome in got.items() if not isinstance(outcome, Fetched)} == {3, 4, 5, 6}


def test_processes_share_what_they_know(server, make_transport, tmp_path):
    """Two transports with one cache, treated as a host of the network: what one learnt, the other does not try out."""
    options = {"limit_loopback": True, "attempts": 1, "patience_s": 0.0, "cooldown_s": 60.0}
    quick = {"archives": {"mast": dataclasses.replace(ARCHIVES["mast"], requests_per_second=1000.0)}, "endpoints": {"mast": server.url}}
    server.on(PATH, status(503))
    first, second = make_transport(**options, **quick), make_transport(**options, **quick)
    for i in range(DOWN_AFTER):
        with pytest.raises(ArchiveError, match="HTTP 503"):
            first.fetch("mast", PATH, {"n": i})
    count = server.count()
    with pytest.raises(ArchiveError, match=r"not asked, for it is down since .* \(HTTP 503\)"):
        second.fetch("mast", PATH, {"n": 99})
    assert server.count() == count
    assert list((tmp_path / "cache" / ".hosts").glob("127.0.0.1_*/down.json"))


def test_a_second_host_takes_over_while_the_first_is_down(server, make_transport):
    other = Server()
    thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        other.on(PATH, content(BODY))
        server.on(PATH, status(503))
        archive = dataclasses.replace(ARCHIVES["vizier"], base_url=server.url, fallbacks=(other.url,))
        transport = make_transport(endpoints={}, archives={"vizier": archive}, attempts=2, patience_s=60.0, cooldown_s=60.0)
        for i in range(10):
            assert transport.fetch("vizier", PATH, {"n": i}).sidecar["url"].startswith(other.url)
        assert server.count() == 2 * DOWN_AFTER
    finally:
        other.shutdown()
        other.server_close()
        thread.join()
