"""The moving average of the weights: its arithmetic against plain numpy, and that it is what a training validates, chooses and saves."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from toy_sample import NETWORK, RECIPE, TARGETS, make_store

from tuningfork.inference.load import load_model
from tuningfork.networks.weights import read_weights
from tuningfork.training import loop
from tuningfork.training.ema import WeightAverage, decay_at
from tuningfork.training.fit import Fit
from tuningfork.training.loop import train


def fit(folder, stamps, objects, recipe=None, **kwargs):
    given = {"network": NETWORK, "targets": TARGETS, "task": "fractions", "seed": 1, "threads": 1, **kwargs}
    return train(stamps=stamps, objects=objects, recipe={**RECIPE, **(recipe or {})}, out_dir=folder / "model", resume_dir=folder / "resume", **given)


@pytest.fixture
def fits(monkeypatch):
    """Every `Fit` of the test; each remembers the weights after every step and of which network a validation was."""
    made = []

    class Watched(Fit):
        def __post_init__(self):
            super().__post_init__()
            made.append(self)
            self.start = copy.deepcopy(self.module.state_dict())
            self.steps = []

        def _step(self, *arguments):
            loss = super()._step(*arguments)
            self.steps.append(copy.deepcopy(self.module.state_dict()))
            return loss

    monkeypatch.setattr(loop, "Fit", Watched)
    return made


def averaged(start, steps, decay):
    """The same recursion in float64, tensor by tensor; the newest value where it is a counter."""
    result = {name: value.double().numpy() for name, value in start.items()}
    for count, state in enumerate(steps):
        d = min(decay, (1 + count) / (10 + count))
        for name, value in state.items():
            result[name] = value.numpy() if name.endswith("num_batches_tracked") else d * result[name] + (1 - d) * value.double().numpy()
    return result


def test_the_decay_rises_to_what_is_asked_for():
    assert [decay_at(0.999, count) for count in (0, 8, 90)] == pytest.approx([0.1, 0.5, 0.91])
    assert decay_at(0.999, 10**6) == 0.999 and decay_at(0.05, 0) == 0.05


def test_weights_and_running_statistics_follow_the_recursion():
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    average, start, steps = WeightAverage(network, 0.8), copy.deepcopy(network.state_dict()), []
    for _ in range(40):
        network(torch.randn(5, 1, 3, 3, generator=generator))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        average.update()
        steps.append(copy.deepcopy(network.state_dict()))
    expected = averaged(start, steps, 0.8)
    found = average.module.state_dict()
    assert found["1.num_batches_tracked"] == 40 and not average.module.training
    for name, value in expected.items():
        np.testing.assert_allclose(found[name].numpy(), value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_what_does_not_change_stays_bit_for_bit():
    network = nn.Sequential(nn.Linear(300, 300), nn.BatchNorm1d(300), nn.Linear(300, 3)).eval()
    with torch.no_grad():
        network[1].running_mean.normal_()
        network[1].running_var.uniform_(0.1, 3)
    average = WeightAverage(network, 0.999)
    for _ in range(100):
        average.update()
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in average.module.state_dict().items())


def test_the_average_is_validated_chosen_and_saved(tmp_path, fits):
    stamps, objects = make_store(tmp_path)
    result = fit(tmp_path, stamps, objects, {"ema": 0.9, "epochs": 4})
    (running,) = fits
    saved = read_weights(tmp_path / "model/weights.safetensors")
    done = result.best_epoch * len(running.steps) // 4
    expected = averaged(running.start, running.steps[:done], 0.9)
    for name, value in expected.items():
        np.testing.assert_allclose(saved[name].numpy(), value, rtol=1e-4, atol=1e-6, err_msg=name)
    learning = running.steps[done - 1]
    assert not torch.allclose(saved["output.weight"], learning["output.weight"], rtol=1e-4), "the weights that learn are others"
    # a network loaded from the file has the validation loss that the best epoch was chosen by
    running.module.load_state_dict(load_model(tmp_path / "model", "cpu").network.state_dict())
    running.average = None
    assert running.validate()[0] == result.best_validation_loss == min(row["validation_loss"] for row in result.history)


def test_the_average_does_not_disturb_what_it_follows(tmp_path, fits):
    stamps, objects = make_store(tmp_path)
    for name, ema in (("plain", 0), ("averaged", 0.99)):
        fit(tmp_path / name, stamps, objects, {"ema": ema})
    plain, other = fits
    assert len(plain.steps) == len(other.steps)
    assert all(torch.equal(plain.steps[-1][name], value) for name, value in other.steps[-1].items())
    assert [row["train_loss"] for row in plain.history] == [row["train_loss"] for row in other.history]
    assert [row["validation_loss"] for row in plain.history] != [row["validation_loss"] for row in other.history]


def test_features_for_an_adaptation_are_the_averages_own(tmp_path, fits):
    stamps, objects = make_store(tmp_path / "a")
    more, others = make_store(tmp_path / "b", seed=5)
    adapt = {"adapt_stamps": more, "adapt_objects": {k: others[k] for k in ("object_id", "split")}, "adapt_to": {"sample": "b", "weight": 1.0}}
    result = fit(tmp_path, stamps, objects, {"ema": 0.9, "epochs": 2}, **adapt)
    (running,) = fits
    running.average.module.load_state_dict(read_weights(tmp_path / "model/weights.safetensors"))
    for parameter in running.module.parameters():
        parameter.data.zero_()
    loss, parts = running.validate()
    assert loss == result.best_validation_loss and parts["discrepancy"] == result.history[result.best_epoch - 1]["discrepancy"] > 0
