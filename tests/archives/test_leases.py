"""Connections that all processes share: the limit, the queue, and the claims of the dead."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest

from tuningfork.archives import leases
from tuningfork.archives.leases import Connections, alive, claim, machine, new_owner


def dead_owner() -> str:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    child.wait()
    return f"{machine()}~{child.pid}~0000"


def left(folder) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_no_more_than_the_limit_at_once_and_nothing_is_left(tmp_path):
    views = [Connections(tmp_path, 3, poll_s=0.001) for _ in range(4)]
    busy, most, guard = 0, 0, threading.Lock()

    def work(view: Connections) -> None:
        nonlocal busy, most
        for _ in range(10):
            with view.one():
                with guard:
                    busy += 1
                    most = max(most, busy)
                time.sleep(0.001)
                with guard:
                    busy -= 1

    threads = [threading.Thread(target=work, args=(view,)) for view in views for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3
    assert left(tmp_path) == []


def _hold(folder, limit, rounds, pipe) -> None:
    view = Connections(folder, limit, poll_s=0.001)
    spans = []
    for _ in range(rounds):
        with view.one():
            begin = time.monotonic()
            time.sleep(0.01)
            spans.append((begin, time.monotonic()))
    pipe.send(spans)


def test_processes_share_the_limit_and_each_gets_its_turn(tmp_path):
    context = multiprocessing.get_context("spawn")
    pipes, children = [], []
    for _ in range(3):
        ours, theirs = context.Pipe()
        pipes.append(ours)
        children.append(context.Process(target=_hold, args=(tmp_path, 2, 15, theirs)))
        children[-1].start()
    spans = [pipe.recv() for pipe in pipes]
    for child in children:
        child.join()
    events = sorted([(begin, 1) for mine in spans for begin, _ in mine] + [(end, -1) for mine in spans for _, end in mine])
    busy = most = 0
    for _, step in events:
        busy += step
        most = max(most, busy)
    assert most <= 2
    assert left(tmp_path) == []


def test_who_came_first_is_served_first(tmp_path):
    first, order, threads = Connections(tmp_path, 1, poll_s=0.001), [], []

    def work(number: int) -> None:
        with Connections(tmp_path, 1, poll_s=0.001).one():
            order.append(number)

    with first.one():
        for number in range(5):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            while sum("queue" in name for name in left(tmp_path)) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == list(range(5))


def test_the_connections_and_tickets_of_the_dead_are_taken_over(tmp_path, monkeypatch):
    folder = tmp_path / machine()
    (folder / "queue").mkdir(parents=True)
    (folder / "0").write_text(dead_owner())
    (folder / "queue" / f"{1:020d}~{dead_owner()}").touch()
    with Connections(tmp_path, 1).one():
        assert f"~{os.getpid()}~" in (folder / "0").read_text()
    assert left(tmp_path) == []


def test_a_wait_that_is_ended_leaves_the_queue(tmp_path):
    def tired(seconds: float) -> None:
        raise KeyboardInterrupt

    with Connections(tmp_path, 1).one():
        with pytest.raises(KeyboardInterrupt), Connections(tmp_path, 1).one(tired):
            pass
        assert left(tmp_path) == [f"{machine()}/0"]
    assert left(tmp_path) == []


def test_a_process_id_that_came_again_is_another_owner(tmp_path):
    owner = new_owner()
    assert alive(tmp_path, owner)
    host, pid, rest = owner.split("~")
    start = rest.split("-")[0]
    if start:
        assert not alive(tmp_path, f"{host}~{pid}~{int(start) - 1}-{rest.split('-')[1]}")


def test_a_claim_without_hard_links_is_as_exclusive(tmp_path, monkeypatch):
    def refuse(*args: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(leases.os, "link", refuse)
    (tmp_path / "mine").write_text("me")
    assert claim(tmp_path / "mine", tmp_path / "thing")
    assert not claim(tmp_path / "mine", tmp_path / "thing")
    assert (tmp_path / "thing").read_text() == "me"
