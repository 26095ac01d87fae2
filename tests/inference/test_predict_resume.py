"""An interrupted prediction goes on where it was, to the same numbers, bit for bit; state of anything else is never used."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from tuningfork.inference import partial
from tuningfork.inference import predict as module
from tuningfork.inference.load import load_model
from tuningfork.inference.partial import PartialRows, forget
from tuningfork.inference.predict import predict
from tuningfork.training.arrays import ArrayStamps


class Interrupted(Exception):
    pass


class Reading:
    """Stamps in memory that count what is read, and stop at a batch."""

    def __init__(self, stamps, stop_at=None):
        pixels = stamps.take(np.arange(len(stamps)))
        pixels[7] = 1.0  # a constant one: its row is lost, before and after
        self.inner = ArrayStamps(stamps.object_id, pixels, np.array(stamps.status), stamps.scalars)
        self.stop_at, self.read = stop_at, []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def __len__(self):
        return len(self.inner)

    def take(self, indices, out=None):
        if self.stop_at is not None and len(self.read) == self.stop_at:
            raise Interrupted
        self.read.append(np.asarray(indices))
        return self.inner.take(indices, out)


@pytest.fixture
def often(monkeypatch):
    """Every batch is written at once."""
    monkeypatch.setattr(module, "PartialRows", lambda *args: PartialRows(*args, seconds=0))


@pytest.fixture(scope="module")
def model(trained):
    return load_model(trained[0], "cpu")


def go(model, stamps, folder, **kwargs):
    return predict(model, stamps, threads=1, **{"resume_dir": folder, "batch_size": 40, "resume_key": ["a"], **kwargs})


def same(one, other):
    for name in ("object_id", "status", "mean", "std"):
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("stop_at", [1, 2, 5, 9])
def test_what_is_done_is_not_done_again_and_the_numbers_are_the_same(model, trained, tmp_path, often, stop_at):
    """Batches of 5 stamps (40 images in eight views) of 48: ten batches."""
    whole = go(model, Reading(trained[1]), None)
    with pytest.raises(Interrupted):
        go(model, Reading(trained[1], stop_at), tmp_path)
    again = Reading(trained[1])
    same(go(model, again, tmp_path), whole)
    # the batch that was read ahead when the interruption came is read again; none before it
    assert len(again.read) in (10 - stop_at, 10 - stop_at + 1) and whole["status"][7] == "failed"
    # and the whole state serves a third call, which reads nothing
    third = Reading(trained[1])
    same(go(model, third, tmp_path), whole)
    assert third.read == []
    forget(tmp_path / "x")
    forget(tmp_path)
    assert not tmp_path.exists()


def change_weights(model):
    network = torch.nn.ModuleList([model.network])[0]
    with torch.no_grad():
        next(iter(network.parameters())).add_(1e-3)


@pytest.mark.parametrize("change", ["key", "tta", "batch", "ids", "weights"])
def test_state_of_anything_else_is_not_used(trained, tmp_path, often, change):
    model = load_model(trained[0], "cpu")
    with pytest.raises(Interrupted):
        go(model, Reading(trained[1], 5), tmp_path)
    given = {"key": {"resume_key": ["b"]}, "tta": {"tta": False}, "batch": {"batch_size": 80}, "ids": {"ids": trained[1].object_id[::-1][:40]}}.get(change, {})
    if change == "weights":
        change_weights(model)
    stamps = Reading(trained[1])
    got = go(model, stamps, tmp_path, **given)
    same(got, go(model, Reading(trained[1]), None, **given))
    assert sum(map(len, stamps.read)) == len(got["mean"])


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "gone", "half"])
def test_a_damaged_part_and_all_after_it_are_made_again(model, trained, tmp_path, often, damage, caplog):
    with pytest.raises(Interrupted):
        go(model, Reading(trained[1], 6), tmp_path)
    parts = sorted(tmp_path.glob("*/*.npz"))
    assert len(parts) >= 4
    bytes_of = parts[1].read_bytes()
    if damage == "gone":
        parts[1].unlink()
    elif damage == "half":  # what a crash leaves of an atomic write: a part under its temporary name
        parts[1].rename(parts[1].with_name(f".{parts[1].name}.123.part"))
    else:
        parts[1].write_bytes({"truncated": bytes_of[: len(bytes_of) // 2], "empty": b"", "text": b"no archive"}[damage])
    stamps = Reading(trained[1])
    same(go(model, stamps, tmp_path), go(model, Reading(trained[1]), None))
    assert sum(map(len, stamps.read)) == 43
    assert ("cannot be read" in caplog.text) == (damage in ("truncated", "empty", "text"))


def test_a_short_prediction_leaves_nothing_behind(model, trained, tmp_path):
    go(model, Reading(trained[1]), tmp_path)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, time
from pathlib import Path
from tuningfork.inference import partial, predict as module
from tuningfork.inference.load import load_model
from tuningfork.stamps.store import StampSet
folder, store, model = map(Path, sys.argv[1:])
class Slow(StampSet):
    calls = 0
    def take(self, indices, out=None):
        self.calls += 1
        if self.calls == 5:
            (folder / "reached").touch()
            time.sleep(600)
        return super().take(indices, out)
module.PartialRows = lambda *args: partial.PartialRows(*args, seconds=0)
stamps = Slow(sorted(store.glob("*.arrow")))
module.predict(load_model(model, "cpu"), stamps, threads=1, batch_size=40, resume_dir=folder / "state", resume_key=1)
"""


def test_killed_without_a_word_it_goes_on(model, trained, tmp_path):
    store = trained[1].paths[0].parent
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(store), str(trained[0])]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        while not ((tmp_path / "reached").exists() and len(list(tmp_path.glob("state/*/*.npz"))) >= 3):
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    got = predict(model, trained[1], threads=1, batch_size=40, resume_dir=tmp_path / "state", resume_key=1)
    same(got, predict(model, trained[1], threads=1, batch_size=40))


def test_parts_are_written_as_time_passes(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(partial.time, "monotonic", lambda: now[0])
    values = {"a": np.arange(6.0)}
    rows = PartialRows(tmp_path, "about", np.array([5, 4, 3, 2, 1, 0]), values, seconds=10)
    for _ in range(3):
        now[0] += 6
        rows.add(2)
    assert [path.name for path in tmp_path.glob("*/*")] == ["000000000000-000000000004.npz"]
    rows.finish()
    found = {"a": np.zeros(6)}
    assert PartialRows(tmp_path, "about", rows.order, found).load() == 6 and found["a"].tolist() == [0, 1, 2, 3, 4, 5]
    assert PartialRows(tmp_path, "else", rows.order, found).load() == 0
