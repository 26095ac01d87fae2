"""Small parts of the wire: Retry-After, locks of the dead, and the meter."""

import datetime
import logging
import os
import subprocess
import sys

import pytest

from tuningfork.archives import leases, progress
from tuningfork.archives.cache import Entry, locked, part_of
from tuningfork.archives.download import pause_asked, retry_after
from tuningfork.archives.leases import machine
from tuningfork.archives.progress import Meter

NOW = datetime.datetime(2026, 7, 5, 12, 0, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), (" 2.5 ", 2.5), ("Sun, 05 Jul 2026 12:01:30 GMT", 90), ("Sun, 05 Jul 2026 11:00:00 GMT", 0), ("soon", None), ("-5", None), (None, None)],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    assert retry_after(value, NOW) == seconds


RESET = int(NOW.timestamp()) + 42


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "7", "X-RateLimit-Reset": str(RESET)}, 7),
        (429, {"X-RateLimit-Reset": str(RESET)}, 42),
        (429, {"X-RateLimit-Reset": str(RESET - 100)}, 0),
        (429, {"X-RateLimit-Reset": "30"}, 30),
        (429, {"X-RateLimit-Reset": "soon"}, None),
        (429, {"X-RateLimit-Reset": "-1"}, None),
        (429, {"X-RateLimit-Reset": "9" * 40}, None),
        (429, {}, None),
        (200, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(RESET)}, 42),
        (200, {"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": str(RESET)}, None),
        (200, {"Retry-After": "7"}, None),
        (503, {"Retry-After": "7"}, 7),
        (500, {"X-RateLimit-Reset": str(RESET)}, None),
    ],
)
def test_a_pause_is_asked_by_retry_after_or_by_an_allowance_that_is_used_up(status, headers, seconds):
    assert pause_asked(status, headers, NOW) == seconds


@pytest.fixture
def entry(tmp_path):
    return Entry(tmp_path / "abc.fits")


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    child.wait()
    return child.pid


def test_the_lock_of_a_dead_process_is_taken_over(entry):
    entry.lock.write_text(f"{machine()}~{dead_pid()}~0000")
    with locked(entry):
        assert f"~{os.getpid()}~" in entry.lock.read_text()
    assert list(entry.path.parent.iterdir()) == []


def test_the_lock_of_another_node_is_taken_over_when_it_is_old(entry):
    entry.lock.write_text("node17~1~0000")
    old = entry.lock.stat().st_mtime - leases.STALE_S - 60
    os.utime(entry.lock, (old, old))
    with locked(entry):
        pass
    assert not entry.lock.exists()


def test_a_lock_that_another_took_over_is_not_released_for_it(entry):
    with locked(entry):
        entry.lock.unlink()
        entry.lock.write_text("node17~1~0000")
    assert entry.lock.read_text() == "node17~1~0000"


def test_the_download_of_a_living_process_is_left_alone(entry):
    other = entry.path.with_name(f".abc.fits.{machine()}~{os.getpid()}~beef.part")
    other.mkdir()
    (other / "body").write_bytes(b"theirs")
    with part_of(entry, resume=True) as part:
        assert part.size == 0
    assert (other / "body").read_bytes() == b"theirs"


def test_what_cannot_be_resumed_is_not_kept(entry):
    for resume, validator, kept in ((True, None, 0), (False, "v", 0), (True, "v", 1)):
        with part_of(entry, resume=resume) as part:
            part.begin(validator, 10)
            part.body.write_bytes(b"some")
        assert len(list(entry.path.parent.iterdir())) == kept
    with part_of(entry, resume=True) as part:
        assert (part.size, part.validator, part.total) == (4, "v", 10)


def test_large_downloads_are_logged_where_there_is_no_terminal(monkeypatch, caplog):
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO), Meter("small", 2**20, 0, None) as meter:
        meter.add(2**19)
    assert caplog.text == ""
    with caplog.at_level(logging.INFO), Meter("large", 2**25, 2**20, None) as meter:
        meter.add(2**24)
    assert "large: 17 of 32 MiB" in caplog.text


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Meter("mosaic", 2**25, 0, None) as meter:
        meter.add(2**25)
    assert "mosaic: 100%" in capsys.readouterr().err
