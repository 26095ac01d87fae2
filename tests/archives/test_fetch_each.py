"""Batches: outcomes as they come, a window in memory, one summary, and a clean end whenever it comes."""

import itertools
import logging
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from misbehaving_server import body_sizes, content, cut, fits_bytes, slowly, stall, status

from tuningfork.archives import batch, progress
from tuningfork.archives.batch import Hands, stream
from tuningfork.archives.checks import check_fits_image
from tuningfork.archives.progress import reason_of
from tuningfork.archives.request import Fetched, Request
from tuningfork.archives.stopping import Stop, Stopped
from tuningfork.errors import ArchiveError, NotInArchive, OutsideFootprint

BODY = fits_bytes()


def asked(number: int, **options: object) -> list[Request]:
    return [Request("mast", f"/{i}.fits", check=check_fits_image, **options) for i in range(number)]


def scraps(cache: Path) -> list[str]:
    """Locks, parts and whatever else is unfinished."""
    return [path.name for path in cache.rglob(".*")]


def test_outcomes_come_as_they_are_ready_with_the_positions_of_their_requests(server, transport):
    bodies = {f"/{i}.fits": fits_bytes(10 + i) for i in range(8)}
    for path, body in bodies.items():
        server.on(path, slowly(body, 0.4 if path == "/0.fits" else 0.0))
    server.on("/5.fits", status(404))
    got = list(transport.fetch_each(asked(8)))
    assert sorted(index for index, _ in got) == list(range(8))
    assert got[-1][0] == 0, "the slow one does not hold the others back"
    found = dict(got)
    assert isinstance(found.pop(5), NotInArchive)
    assert {index: outcome.path.read_bytes() for index, outcome in found.items()} == {i: body for i, body in enumerate(bodies.values()) if i != 5}
    assert server.busiest <= 4


def test_several_archives_work_side_by_side(server, transport):
    for i in range(6):
        server.on(f"/{i}.fits", slowly(BODY, 0.05))
    requests = [Request(archive, f"/{i}.fits") for i in range(6) for archive in ("vizier", "mast")]
    assert all(isinstance(outcome, Fetched) for _, outcome in transport.fetch_each(requests))
    assert server.busiest in (3, 4, 5), "four of mast and one of vizier"


def test_equal_requests_are_fetched_once(server, transport):
    server.on("/0.fits", slowly(BODY, 0.05))
    got = dict(transport.fetch_each(asked(1) * 5))
    assert sorted(outcome.from_cache for outcome in got.values()) == [False, True, True, True, True]
    assert server.count() == 1
    assert [outcome.from_cache for _, outcome in transport.fetch_each(asked(1))] == [True]


def test_requests_are_read_a_window_ahead_and_no_further(server, transport, monkeypatch):
    monkeypatch.setattr(batch.stream, "__kwdefaults__", {"window": 6})
    read = []

    def endless():
        for i in itertools.count():
            read.append(i)
            yield Request("mast", "/0.fits", {"n": i})

    server.on("/0.fits", content(BODY))
    outcomes = transport.fetch_each(endless())
    for taken in range(1, 30):
        next(outcomes)
        assert len(read) <= taken + 6
    outcomes.close()
    assert [t for t in threading.enumerate() if t.name.startswith("mast-")] == []


def test_an_unknown_archive_is_an_outcome_and_names_must_fit(server, transport):
    server.on("/0.fits", content(BODY))
    got = dict(transport.fetch_each([Request("nowhere", "/x"), *asked(1)]))
    assert isinstance(got[0], ArchiveError)
    assert isinstance(got[1], Fetched)
    with pytest.raises(ValueError, match="shorter"):
        list(transport.fetch_each(asked(2), names=["a"]))


def test_an_error_of_the_program_is_raised_not_yielded(server, transport):
    def broken(path: Path) -> None:
        raise ZeroDivisionError("a bug")

    server.on("/0.fits", content(BODY))
    with pytest.raises(ZeroDivisionError):
        list(transport.fetch_each([Request("mast", "/0.fits", check=broken)]))


def test_the_summary_counts_and_groups_by_reason(server, transport, caplog):
    for i in range(3):
        server.on(f"/{i}.fits", content(BODY))
    list(transport.fetch_each(asked(2)))
    server.on("/3.fits", status(500, b"no images"))
    server.on("/4.fits", status(500, b"no images"))
    server.on("/5.fits", content(b"<html>down</html>"))
    caplog.clear()
    with caplog.at_level(logging.INFO):
        list(transport.fetch_each(asked(7), names=(f"J{i}" for i in range(7)), what="cutouts of dr9"))
    (summary,) = [record.message for record in caplog.records if record.message.startswith("cutouts of dr9: ")]
    assert summary.startswith("cutouts of dr9: 1 from the archive, 2 from the cache, 4 failed, in ")
    assert "2 x HTTP 500 (no images) (such as J" in summary
    assert "1 x not a FITS file: it begins with '<html>down</html>' (such as J5)" in summary
    assert "1 x NotInArchive: archive 'mast' has no ... (HTTP 404) (such as J6)" in summary


def test_a_reason_has_nothing_of_one_object():
    def why(n: int) -> str:
        return reason_of(OutsideFootprint(f"archive 'x' has no image at 1{n}.25, -3.{n} in https://example.org/{n}/a?ra={n} (/data/{n}/cut.fits)"))

    assert why(1) == why(2) == "OutsideFootprint: archive 'x' has no image at #, # in ... (...)"


def test_progress_is_logged_now_and_then_without_a_terminal(server, transport, caplog, monkeypatch):
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    for i in range(3):
        server.on(f"/{i}.fits", content(BODY))
    with caplog.at_level(logging.INFO):
        list(transport.fetch_each(asked(3)))
    lines = [record.message for record in caplog.records if "/s from the archive" in record.message]
    assert lines[1].startswith("cutouts: 2 of 3 (67 %), ")
    assert lines[1].endswith(" left, 0 failed")
    caplog.clear()
    with caplog.at_level(logging.INFO):
        list(transport.fetch_each(asked(3), progress=False))
    assert [record.message.split(", in ")[0] for record in caplog.records] == ["cutouts: 0 from the archive, 3 from the cache, 0 failed"]


def test_a_terminal_gets_a_bar(server, transport, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    server.on("/0.fits", content(BODY))
    list(transport.fetch_each(asked(2), what="stamps"))
    shown = capsys.readouterr().err
    assert "stamps: 100%" in shown
    assert "1 failed" in shown


# ends


def begun(server, number: int) -> None:
    until = time.monotonic() + 10
    while server.count() < number:
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_closed_iterator_cuts_what_is_coming_and_leaves_whole_files_only(server, transport, tmp_path, caplog):
    server.on("/0.fits", content(BODY))
    for i in range(1, 40):
        server.on(f"/{i}.fits", stall(BODY, 3000))
    outcomes = transport.fetch_each(asked(40))
    index, first = next(outcomes)
    assert (index, first.path.read_bytes()) == (0, BODY)
    begun(server, 5)
    outcomes.close()
    assert "then stopped" in caplog.text or not caplog.text
    assert server.count() <= 6, "nothing that waited was begun"
    assert scraps(tmp_path / "cache") == []
    assert [p for p in (tmp_path / "cache").rglob("*.fits") if p.is_file()] == [first.path]
    server.release.set()
    for i in range(1, 40):
        server.on(f"/{i}.fits", content(BODY))
    assert sum(not outcome.from_cache for _, outcome in transport.fetch_each(asked(40))) == 39, "a second run fetches what is missing"


def test_a_pause_between_tries_ends_with_the_transport(server, make_transport, tmp_path):
    server.on("/0.fits", content(BODY))
    server.on("/1.fits", status(503, Retry_After="3600"))
    transport = make_transport(longest_pause_s=3600.0)
    outcomes = transport.fetch_each(asked(2))
    next(outcomes)
    begun(server, 2)
    transport.close()
    with pytest.raises(StopIteration):
        next(outcomes)
    assert scraps(tmp_path / "cache") == []


def test_an_interrupt_while_waiting_ends_the_batch(server, transport, tmp_path, monkeypatch):
    for i in range(4):
        server.on(f"/{i}.fits", stall(BODY, 3000))
    outcomes = transport.fetch_each(asked(4))

    class Interrupted(batch.queue.SimpleQueue):
        def get(self, *args: object, **options: object) -> object:
            if threading.current_thread() is threading.main_thread():
                begun(server, 4)
                raise KeyboardInterrupt
            return super().get(*args, **options)

    monkeypatch.setattr(batch.queue, "SimpleQueue", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(outcomes)
    assert scraps(tmp_path / "cache") == []
    assert [t for t in threading.enumerate() if t.name.startswith("mast-")] == []


def test_a_stopped_batch_resumes_large_files_where_they_were_cut(server, transport, tmp_path):
    server.on("/0.fits", stall(BODY, 3000), content(BODY))
    outcomes = transport.fetch_each(itertools.chain(asked(1, resume=True), (Request("mast", f"/none{i}.fits") for i in itertools.count())))
    next(outcomes)
    while 3000 not in body_sizes(tmp_path / "cache"):
        time.sleep(0.005)
    outcomes.close()
    assert transport.fetch_request(asked(1, resume=True)[0]).path.read_bytes() == BODY
    assert server.seen[-1].headers["range"] == "bytes=3000-"


def test_a_stop_wakes_those_that_pause():
    stop, met = Stop(), []

    def wait() -> None:
        try:
            stop.pause(60)
        except Stopped:
            met.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    stop.set()
    thread.join(10)
    assert met == [True]
    with pytest.raises(Stopped):
        stop.check()


# memory


@pytest.mark.parametrize("slow", [False, True])
def test_memory_does_not_grow_with_the_number_of_requests(slow):
    """All different, none in the cache, each with a name and a check of its own; `slow` fails them all."""
    fetched = Fetched(Path("x"), {}, from_cache=False)

    def fetch(request: Request, stop: Stop) -> Fetched:
        if slow:
            raise NotInArchive(f"no {request.path}")
        return fetched

    def peak(number: int) -> int:
        hands = Hands(key=lambda request: request.path, recall=lambda request, key: None, fetch=fetch, workers=lambda name: 4)
        requests = (Request("mast", f"/{i}", check=lambda path, i=i: i) for i in range(number))
        tracemalloc.start()
        with progress.Tally("cutouts", number, False) as tally:
            for index, outcome in stream(requests, hands, Stop()):
                tally.add(outcome, f"object {index}")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few = peak(1000)
    assert peak(20_000) < 1.5 * few + 100_000


def test_a_cut_body_in_a_batch_is_retried(server, transport):
    server.on("/0.fits", cut(BODY, 3000), content(BODY))
    ((_, outcome),) = transport.fetch_each(asked(1))
    assert outcome.path.read_bytes() == BODY
