"""An interrupted training goes on to the same weights, bit for bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from toy_sample import NETWORK, RECIPE, TARGETS, make_store

from tuningfork.files import sha256_of
from tuningfork.training.loop import train

# the network's forward pass, in training, writes a file and waits at one call: there the parent kills the process
SCRIPT = """
import sys, time
from pathlib import Path
folder, tests, stop_at, kind = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
sys.path.insert(0, tests)
from test_resume import KINDS, fit
from tuningfork.networks.layers import ImageNetwork
calls, plain = [0], ImageNetwork.forward
def forward(self, images):
    calls[0] += self.training
    if calls[0] == stop_at:
        (folder / "reached").touch()
        time.sleep(600)
    return plain(self, images)
ImageNetwork.forward = forward
fit(folder, **KINDS[kind])
"""
STEPS_PER_EPOCH = 4
MODERN = {
    "network": {"name": "resnet18"},
    "optimizer": {"name": "adamw", "learning_rate": 3e-3, "weight_decay": 0.1, "layer_decay": 0.8, "groups": {"head": {"learning_rate_factor": 2.0}}},
    "epochs": 4,
    "warm_up_epochs": 2.75,
    "ema": 0.9,
    "freeze": ["layer1"],
}
"""What a state must hold beyond a plain training: the average and its count, the step in the warm-up, a rate for every group of layers."""
KINDS = {"plain": {}, "modern": MODERN, "saving": {"epochs": 2, "save_minutes": 0}}


def fit(folder, network=NETWORK, save_minutes=10, **recipe):
    stamps, objects = make_store(folder)
    # dropout, batch normalisation, Adam's moments, a schedule, draws with replacement: all the state there is
    given = {**RECIPE, "epochs": 5, "draws_per_epoch": 2.0, "schedule": "cosine", **recipe}
    places = {"out_dir": folder / "model", "resume_dir": folder / "resume", "save_minutes": save_minutes}
    return train(network=network, stamps=stamps, objects=objects, targets=TARGETS, task="fractions", recipe=given, seed=3, threads=1, **places)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    result = fit(folder)
    return result, sha256_of(folder / "model/weights.safetensors")


def killed(folder: Path, stop_at: int, kind: str = "plain") -> None:
    """Train in another process and kill it, with no chance to say anything, in step `stop_at`."""
    command = [sys.executable, "-c", SCRIPT, str(folder), str(Path(__file__).parent), str(stop_at), kind]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (folder / "reached").exists():
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline, "the training did not get to the step in two minutes"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "model").exists()


@pytest.mark.parametrize("stop_at", [2, 2 * STEPS_PER_EPOCH + 3])
def test_killed_in_mid_epoch_it_goes_on_to_the_same_weights(tmp_path, undisturbed, stop_at):
    result, weights = undisturbed
    killed(tmp_path, stop_at)
    resumed = fit(tmp_path)
    assert resumed.resumed_from == (stop_at - 1) // STEPS_PER_EPOCH
    assert sha256_of(tmp_path / "model/weights.safetensors") == weights
    columns = ("epoch", "learning_rate", "train_loss", "validation_loss")
    assert [[row[c] for c in columns] for row in resumed.history] == [[row[c] for c in columns] for row in result.history]
    assert not (tmp_path / "resume").exists()


def test_average_warm_up_and_layer_decay_go_on_to_the_same_weights(tmp_path):
    whole = fit(tmp_path / "whole", **MODERN)
    (tmp_path / "cut").mkdir()
    # in the third epoch: the average is under way, the warm-up not over
    killed(tmp_path / "cut", 2 * STEPS_PER_EPOCH + 2, "modern")
    resumed = fit(tmp_path / "cut", **MODERN)
    assert resumed.resumed_from == 2 and resumed.best_epoch == whole.best_epoch
    assert sha256_of(tmp_path / "cut/model/weights.safetensors") == sha256_of(tmp_path / "whole/model/weights.safetensors")
    columns = ("epoch", "learning_rate", "train_loss", "validation_loss")
    assert [[row[c] for c in columns] for row in resumed.history] == [[row[c] for c in columns] for row in whole.history]


def test_killed_between_the_last_epoch_and_the_model_it_only_writes(tmp_path, undisturbed, monkeypatch):
    from tuningfork.training import loop

    with monkeypatch.context() as patch:
        patch.setattr(loop, "write_model", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    assert fit(tmp_path).resumed_from == 5
    assert sha256_of(tmp_path / "model/weights.safetensors") == undisturbed[1]


def interrupted_after(folder, epochs, monkeypatch, **recipe):
    from tuningfork.training.fit import Fit

    plain = Fit._train_epoch

    def stop(self, epoch, on_terminal):
        if epoch > epochs:
            raise KeyboardInterrupt
        return plain(self, epoch, on_terminal)

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "_train_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(folder, **recipe)


def test_a_state_of_another_recipe_is_not_used(tmp_path, undisturbed, monkeypatch, caplog):
    interrupted_after(tmp_path, 2, monkeypatch, batch_size=8)
    assert fit(tmp_path).resumed_from == 0
    assert "another training" in caplog.text
    assert sha256_of(tmp_path / "model/weights.safetensors") == undisturbed[1]


@pytest.mark.parametrize("damage", ["cut", "text", "best"])
def test_a_damaged_state_is_not_used(tmp_path, undisturbed, monkeypatch, caplog, damage):
    interrupted_after(tmp_path, 2, monkeypatch)
    state = tmp_path / "resume/state.pt"
    if damage == "cut":
        state.write_bytes(state.read_bytes()[:5000])
    elif damage == "text":
        state.write_text("not a state")
    else:
        next((tmp_path / "resume").glob("best-*.safetensors")).unlink()
    assert fit(tmp_path).resumed_from == 0
    assert "beginning" in caplog.text
    assert sha256_of(tmp_path / "model/weights.safetensors") == undisturbed[1]


def test_the_state_holds_no_pickled_objects(tmp_path, monkeypatch):
    interrupted_after(tmp_path, 1, monkeypatch)
    assert torch.load(tmp_path / "resume/state.pt", weights_only=True)["history"][0][0] == 1
