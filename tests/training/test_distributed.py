"""Several processes train as one does: the same losses and weights to rounding, one model, and one end for all."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from group_cases import CASES, fit, gradients
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from toy_sample import NETWORK, RECIPE, TARGETS, make_store

from tuningfork.errors import Interrupted, ModelError
from tuningfork.files import sha256_of
from tuningfork.networks.weights import read_weights
from tuningfork.training.augmentation import augment
from tuningfork.training.distributed import Group, find_group, visible_processes
from tuningfork.training.draws import part_of
from tuningfork.training.loop import train
from tuningfork.training.recipe import Augmentation

HERE = Path(__file__).parent


@given(st.integers(0, 200), st.integers(1, 9))
def test_parts_are_disjoint_whole_and_even(count, size):
    parts = [np.arange(count)[part_of(count, rank, size)] for rank in range(size)]
    assert np.array_equal(np.concatenate(parts), np.arange(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("recipe", [Augmentation(rotation_deg=90, flips=True, zoom=0.1), Augmentation(d4=True, flips=True), Augmentation(flips=True)])
def test_a_part_of_a_batch_is_augmented_as_in_the_whole(recipe):
    images = torch.rand(7, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    generators = [torch.Generator().manual_seed(1) for _ in range(3)]
    whole = augment(images, recipe, generators[0])
    parts = [augment(images[part_of(7, rank, 2)], recipe, generators[1 + rank], part_of(7, rank, 2), 7) for rank in range(2)]
    assert torch.equal(torch.cat(parts), whole)
    assert all(torch.equal(g.get_state(), generators[0].get_state()) for g in generators)


def test_one_process_is_a_group_of_one(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    group, module = find_group(), torch.nn.BatchNorm1d(2)
    assert group == Group() and group.first and group.wrap(module) is module and group.synchronised(module) is module
    assert group.most(3) == 3 and group.agreed([0.5]) == [0.5] and group.whole(module.weight, 2) is module.weight
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ModelError, match="RANK=2 and WORLD_SIZE=2 do not name a process"):
        find_group()
    assert visible_processes(0) == 1 and visible_processes(4) == max(1, min(4, torch.cuda.device_count()))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """All cases, each trained by two processes that torchrun starts."""
    folder = tmp_path_factory.mktemp("shared")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    done = subprocess.run([*launcher, str(HERE / "group_cases.py"), str(folder)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_do_what_one_does(tmp_path, shared, case):
    alone = fit(tmp_path, case)
    histories = [json.loads((shared / f"{case}.{rank}.json").read_text()) for rank in range(2)]
    columns = [name for name in alone.history[0] if name != "seconds"]
    for history in histories:
        np.testing.assert_allclose([[row[name] for name in columns] for row in history], [[row[name] for name in columns] for row in alone.history], rtol=1e-4)
    ours, theirs = (read_weights(folder / case / "weights.safetensors") for folder in (tmp_path, shared))
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-2, atol=2e-4, msg=f"{case}: {name}")
    assert not list(shared.glob("*.resume"))


def test_gradients_and_statistics_through_batch_normalisation_are_those_of_the_whole_batch(shared):
    expected = gradients(Group())
    for rank in range(2):
        found = load_file(shared / f"gradients.{rank}.safetensors")
        assert set(found) == set(expected) and any("running_var" in name for name in found)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12, msg=f"process {rank}: {name}")


def together(folder, stamps, objects, **recipe):
    given = {"network": NETWORK, "targets": TARGETS, "task": "fractions", "seed": 1, "threads": 2, "device": "cpu"}
    whole = {**RECIPE, "epochs": 3, "ema": 0.9, **recipe}
    return train(stamps=stamps, objects=objects, recipe=whole, out_dir=folder / "model", resume_dir=folder / "resume", processes=2, save_minutes=0, **given)


def when_logged(monkeypatch, words, act):
    """Do something as soon as the training says these words."""
    from tuningfork.training import launch

    plain = launch._take

    def take(worker, kind, value):
        plain(worker, kind, value)
        if kind == "log" and words in value[2]:
            act()

    monkeypatch.setattr(launch, "_take", take)


def test_stopped_together_they_go_on_to_the_same_weights(tmp_path, monkeypatch, caplog):
    stamps, objects = make_store(tmp_path, 24)
    with caplog.at_level("INFO"):
        whole = together(tmp_path / "whole", stamps, objects)
    assert caplog.text.count("2 process(es)") == 1 and caplog.text.count("epoch 3 of at most 3") == 1, "the first one's log, here"
    with monkeypatch.context() as patch:
        when_logged(patch, "epoch 1 of", lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted, match=r"stopped by SIGTERM: saved after (step \d of 1 of )?epoch [123] in"):
            together(tmp_path / "cut", stamps, objects)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    resumed = together(tmp_path / "cut", stamps, objects)
    assert [{**row, "seconds": 0} for row in resumed.history] == [{**row, "seconds": 0} for row in whole.history]
    digests = [sha256_of(tmp_path / name / "model/weights.safetensors") for name in ("whole", "cut")]
    assert digests[0] == digests[1] and not (tmp_path / "cut/resume").exists()


def test_one_that_is_killed_ends_all(tmp_path, monkeypatch):
    from tuningfork.training import launch

    stamps, objects = make_store(tmp_path, 24)
    started, plain = [], launch._start
    monkeypatch.setattr(launch, "_start", lambda *arguments: started.append(plain(*arguments)) or started[-1])
    when_logged(monkeypatch, "epoch 1 of", lambda: started[1].process.kill())
    with pytest.raises(ModelError, match=r"process 2 of 2 of the training was killed by SIGKILL; its last saved state is kept"):
        together(tmp_path, stamps, objects, epochs=500)
    assert [worker.process.poll() is not None for worker in started] == [True, True] and (tmp_path / "resume/state.pt").is_file()


def test_an_error_of_all_is_told_once_in_its_own_words(tmp_path):
    stamps, objects = make_store(tmp_path, 24)
    with pytest.raises(ModelError, match=r"^recipe: freeze: .*no part 'stm'; did you mean 'stem'"):
        together(tmp_path, stamps, objects, freeze=["stm"])
