"""A training that is stopped, at any step and in any way, goes on to the weights that it would have had."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import group_cases
import pytest
from test_resume import fit, killed
from toy_sample import NETWORK, RECIPE, TARGETS, make_store

from tuningfork.errors import Interrupted
from tuningfork.files import sha256_of
from tuningfork.training.fit import Fit
from tuningfork.training.interrupt import Interruption, Wish
from tuningfork.training.loop import train

COLUMNS = ("epoch", "learning_rate", "train_loss", "validation_loss")
SHORT = {"epochs": 2}
STEPS = 4


def outcome(folder, result):
    return sha256_of(folder / "model/weights.safetensors"), [[row[name] for name in COLUMNS] for row in result.history]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return outcome(folder, fit(folder, **SHORT))


def signal_at(monkeypatch, step, number):
    """The signal comes while the step of that number, of all, is computed."""
    plain, count = Fit._step, [0]

    def watched(self, *arguments):
        count[0] += 1
        if count[0] == step:
            os.kill(os.getpid(), number)
        return plain(self, *arguments)

    monkeypatch.setattr(Fit, "_step", watched)


@pytest.fixture(autouse=True)
def _sigint_is_heard() -> Iterator[None]:
    """A shell that starts the tests in the background has them ignore SIGINT, and what is ignored stays ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "step", "saved"), [("SIGTERM", 1, "step 1 of 4 of epoch 1"), ("SIGINT", 6, "step 2 of 4 of epoch 2"), ("SIGUSR1", 8, "step 4 of 4 of epoch 2")]
)
def test_a_signal_saves_and_stops_at_the_next_step(tmp_path, undisturbed, monkeypatch, number, step, saved):
    before = [signal.getsignal(getattr(signal, name)) for name in ("SIGTERM", "SIGINT", "SIGUSR1")]
    with monkeypatch.context() as patch:
        signal_at(patch, step, getattr(signal, number))
        with pytest.raises(Interrupted, match=rf"stopped by {number}: saved after {saved} in .*resume; run again to go on"):
            fit(tmp_path, **SHORT)
    assert [signal.getsignal(getattr(signal, name)) for name in ("SIGTERM", "SIGINT", "SIGUSR1")] == before
    assert not (tmp_path / "model").exists()
    assert outcome(tmp_path, fit(tmp_path, **SHORT)) == undisturbed


def test_a_signal_during_the_validation_does_not_wait_for_its_end(tmp_path, undisturbed, monkeypatch):
    plain = Fit.validate
    with monkeypatch.context() as patch:
        patch.setattr(Fit, "validate", lambda self: (os.kill(os.getpid(), signal.SIGTERM), plain(self))[1])
        with pytest.raises(Interrupted, match="saved after step 4 of 4 of epoch 1"):
            fit(tmp_path, **SHORT)
    assert outcome(tmp_path, fit(tmp_path, **SHORT)) == undisturbed


def until_done(train_again, monkeypatch):
    """Stop after every step and every validation, each time in a training of its own; how often that was."""

    def then_stop(plain):
        def method(self, *arguments):
            result = plain(self, *arguments)
            self.interruption.signal = signal.SIGTERM
            return result

        return method

    stops = 0
    with monkeypatch.context() as patch:
        for name in ("_step", "validate"):
            patch.setattr(Fit, name, then_stop(getattr(Fit, name)))
        while True:
            try:
                train_again()
            except Interrupted:
                stops += 1
                assert stops < 20, "it does not get on"
            else:
                return stops


@pytest.mark.parametrize("recipe", [{}, {"ema": 0.9, "warm_up_epochs": 1.3, "draws_per_epoch": 1.0}], ids=["plain", "averaged"])
def test_stopped_after_every_single_step_it_gets_to_the_same_weights(tmp_path, monkeypatch, recipe):
    given = {**recipe, **SHORT}
    whole = outcome(tmp_path / "whole", fit(tmp_path / "whole", **given))
    steps = 2 if recipe else STEPS
    last = []
    assert until_done(lambda: last.append(fit(tmp_path / "cut", **given)), monkeypatch) == SHORT["epochs"] * (steps + 1)
    assert outcome(tmp_path / "cut", last[0]) == whole


@pytest.mark.parametrize("case", ["adapted", "adversary"])
def test_stopped_after_every_step_of_an_adaptation_as_well(tmp_path, monkeypatch, case):
    whole = group_cases.fit(tmp_path / "whole", case)
    last = []
    stops = until_done(lambda: last.append(group_cases.fit(tmp_path / "cut", case)), monkeypatch)
    assert stops == 2 * 3 + 2 and len(whole.history) == 2
    assert sha256_of(tmp_path / f"cut/{case}/weights.safetensors") == sha256_of(tmp_path / f"whole/{case}/weights.safetensors")
    assert [{**row, "seconds": 0} for row in last[0].history] == [{**row, "seconds": 0} for row in whole.history]


def test_saved_by_the_clock_a_killed_training_loses_no_more_than_since_then(tmp_path, undisturbed, caplog):
    killed(tmp_path, STEPS + 3, "saving")
    with caplog.at_level("INFO"):
        assert outcome(tmp_path, fit(tmp_path, **SHORT)) == undisturbed
    assert "going on after step 2 of epoch 2" in caplog.text


HALF = """
import os, signal, sys
from pathlib import Path
folder, tests, at, what = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
sys.path.insert(0, tests)
from test_resume import fit
from tuningfork.networks import weights
from tuningfork.training import resume
module, name = {"state": (resume.torch, "save"), "best": (weights, "save_file")}[what]
plain, calls = getattr(module, name), [0]
def save(content, path, *more, **options):
    plain(content, path, *more, **options)
    calls[0] += 1
    if calls[0] == at:
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
setattr(module, name, save)
fit(folder, epochs=2, save_minutes=0)
"""


@pytest.mark.parametrize(("what", "at"), [("state", 6), ("best", 1)])
def test_a_state_that_is_half_written_replaces_no_good_one(tmp_path, undisturbed, caplog, what, at):
    command = [sys.executable, "-c", HALF, str(tmp_path), str(Path(__file__).parent), str(at), what]
    assert subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True).returncode == -signal.SIGKILL
    assert list((tmp_path / "resume").glob(".*.part")) and (tmp_path / "resume/state.pt").is_file()
    with caplog.at_level("INFO"):
        assert outcome(tmp_path, fit(tmp_path, **SHORT)) == undisturbed
    assert "going on after" in caplog.text and "cannot be read" not in caplog.text
    assert not (tmp_path / "resume").exists()


def test_a_second_sigint_stops_at_once_and_an_ignored_signal_stays_ignored():
    with Interruption() as asked:
        assert asked.wish is Wish.NOTHING
        signal.raise_signal(signal.SIGINT)
        assert asked.wish is Wish.STOP and asked.signal is signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with Interruption(save_minutes=0) as asked:
            signal.raise_signal(signal.SIGUSR1)
            assert asked.wish is Wish.SAVE and asked.signal is None
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_in_another_thread_no_handler_is_set(tmp_path):
    before, found = signal.getsignal(signal.SIGTERM), []

    def work():
        with Interruption():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


def test_the_script_of_a_stopped_training_has_an_exit_code_of_its_own():
    code = "import sys; from tuningfork.scripting import _show; from tuningfork import errors; sys.excepthook = _show; raise errors.{}('stopped')"
    for kind, expected in (("Interrupted", 75), ("ModelError", 1)):
        done = subprocess.run([sys.executable, "-c", code.format(kind)], capture_output=True, text=True)
        assert done.returncode == expected and done.stderr.count(f"{kind}: stopped") >= 1


def test_a_handed_sample_is_never_mirrored(tmp_path, caplog):
    stamps, objects = make_store(tmp_path, 12)
    given = {"network": NETWORK, "targets": TARGETS, "task": "fractions", "seed": 1, "threads": 1, "stamps": stamps, "objects": objects}
    for name, flips, handed in (("said", True, True), ("recipe", False, False)):
        recipe = {**RECIPE, "epochs": 1, "augmentation": {**RECIPE["augmentation"], "flips": flips}}
        with caplog.at_level("INFO"):
            train(**given, recipe=recipe, handed=handed, out_dir=tmp_path / name, resume_dir=tmp_path / "resume")
        assert ("no image is mirrored" in caplog.text) == handed
        caplog.clear()
    assert sha256_of(tmp_path / "said/weights.safetensors") == sha256_of(tmp_path / "recipe/weights.safetensors")
