"""What aligns two samples: CORAL against a double loop, both players of the adversary against plain gradients, and a known shift that each method removes."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from toy_shift import CLASSES, RECIPE, make_shifted, toy_head

from tuningfork.config import Adaptation
from tuningfork.errors import ModelError
from tuningfork.files import sha256_of
from tuningfork.inference.load import load_model
from tuningfork.inference.predict import predict
from tuningfork.networks import registry
from tuningfork.networks.weights import read_weights
from tuningfork.training.alignment import METHODS, Adversary, make_aligner, reversal_at
from tuningfork.training.discrepancy import coral
from tuningfork.training.fit import Fit
from tuningfork.training.loop import train
from tuningfork.training.optimisers import make_optimizer
from tuningfork.training.recipe import make_recipe

CPU = torch.device("cpu")


def draws(count, shift=0.0, scale=1.0, seed=0, features=5):
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, scale, (count, features)).astype(np.float32))


def coral_by_pairs(first, second):
    """The definition, covariance by covariance."""

    def covariance(rows, i, j):
        return sum((row[i] - rows[:, i].mean()) * (row[j] - rows[:, j].mean()) for row in rows) / (len(rows) - 1)

    a, b, size = first.double().numpy(), second.double().numpy(), first.shape[1]
    total = 0.0
    for i in range(size):
        for j in range(size):
            total += (covariance(a, i, j) - covariance(b, i, j)) ** 2
    return total / (4 * size**2)


@pytest.mark.parametrize(("n", "m", "offset"), [(9, 6, 0.0), (2, 2, 0.0), (30, 3, 1e4)])
def test_coral_against_a_double_loop(n, m, offset):
    first, second = draws(n, offset), draws(m, offset + 3, 2.0, seed=1)
    assert float(coral(first, second)) == pytest.approx(coral_by_pairs(first, second), rel=1e-6)


def test_coral_sees_spread_and_no_mean_and_pulls_spreads_together():
    first = draws(40)
    assert float(coral(first, first + 7)) == pytest.approx(0, abs=1e-9) and float(coral(first, first.flip(0))) == pytest.approx(0, abs=1e-12)
    wide = (3 * draws(40, seed=1)).requires_grad_(True)
    coral(first, wide).backward()
    with torch.no_grad():
        assert coral(first, wide - 50 * wide.grad) < coral(first, wide)
    same = torch.zeros(4, 3, requires_grad=True)
    coral(same, same * 1).backward()
    assert torch.isfinite(same.grad).all()


@pytest.mark.parametrize("method", ["mmd", "coral"])
@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_a_batch_of_one_has_no_spread_and_adds_nothing(method, estimator):
    recipe = make_recipe({"alignment": {"estimator": estimator}})
    aligner = make_aligner(method, 10.0, recipe, 5, 0, CPU)
    one = draws(1).requires_grad_(True)
    found = aligner.loss(one, draws(8, 2.0))
    found.loss.backward()
    assert float(found.loss.detach()) == 0 == float(found.parts["discrepancy"]) and not one.grad.any()
    assert float(aligner.loss(draws(2), draws(8, 2.0, 3.0)).loss) > 0


def test_the_weight_rises_over_its_first_epochs_and_is_whole_in_validation():
    recipe = make_recipe({"epochs": 10, "alignment": {"warm_up_epochs": 5}})
    aligner = make_aligner("coral", 4.0, recipe, 5, 0, CPU)
    first, second = draws(8), draws(8, scale=3.0, seed=1)
    whole = float(coral(first, second))
    got = [float(aligner.loss(first, second, progress).loss) for progress in (0.0, 0.25, 0.5, 0.75, None)]
    assert got == pytest.approx([0, 2 * whole, 4 * whole, 4 * whole, 4 * whole])
    assert float(aligner.loss(first, second, 0.25).parts["discrepancy"]) == pytest.approx(whole), "reported without the weight"


def test_the_reversal_rises_as_published():
    assert reversal_at(0) == 0 and reversal_at(1) == pytest.approx(math.tanh(5)) and reversal_at(0.1) == pytest.approx(math.tanh(0.5))


@pytest.mark.parametrize("progress", [0.0, 0.07, None])
def test_both_players_have_the_gradients_of_the_paper(progress):
    adversary = Adversary(0.7, 5, 6, 3, CPU)
    first, second = draws(9).requires_grad_(True), draws(4, 1.0, seed=1).requires_grad_(True)
    found = adversary.loss(first, second, progress)
    found.loss.backward()
    mine = [parameter.grad.clone() for parameter in adversary.parameters()]
    pulled = first.grad.clone(), second.grad.clone()
    for leaf in (*adversary.parameters(), first, second):
        leaf.grad = None
    one, other = adversary.discriminator(first), adversary.discriminator(second)
    plain = -(torch.log(1 - torch.sigmoid(one)).mean() + torch.log(torch.sigmoid(other)).mean()) / 2
    plain.backward()
    factor = 0.7 * (1.0 if progress is None else math.tanh(5 * progress))
    for got, parameter in zip(mine, adversary.parameters(), strict=True):
        torch.testing.assert_close(got, parameter.grad, msg="the discriminator learns at full rate")
    for got, leaf in zip(pulled, (first, second), strict=True):
        torch.testing.assert_close(got, -factor * leaf.grad)
    assert float(found.parts["domain_loss"]) == pytest.approx(float(plain.detach()))
    right = ((one < 0).float().mean() + (other > 0).float().mean()) / 2
    assert float(found.parts["domain_accuracy"]) == pytest.approx(float(right))
    assert float(found.loss.detach()) == pytest.approx(factor * max(0, math.log(2) - float(plain.detach())), abs=1e-7)


def test_a_trained_discriminator_proves_no_more_than_the_divergence_that_there_is():
    """Of two Gaussians the divergence of Jensen and Shannon is an integral; at chance there is nothing to prove, and worse than chance earns nothing."""
    first, second = draws(4000, features=1), draws(4000, 2.0, seed=1, features=1)
    grid = np.linspace(-8, 10, 20001)
    p, q = (np.exp(-((grid - mean) ** 2) / 2) / np.sqrt(2 * np.pi) for mean in (0, 2))
    middle = (p + q) / 2
    truth = np.trapezoid(p * np.log(p / middle) + q * np.log(q / middle), grid) / 2
    adversary = Adversary(1.0, 1, 16, 0, CPU)
    optimizer = torch.optim.Adam(adversary.parameters(), 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        adversary.loss(first, second).loss.backward()
        optimizer.step()
    assert 0.9 * truth < float(adversary.loss(first, second).loss.detach()) < 1.1 * truth
    assert float(adversary.loss(second, first).loss.detach()) == 0
    nothing = adversary.loss(first[:2000], first[2000:])
    assert float(nothing.parts["domain_accuracy"]) == pytest.approx(0.5, abs=0.03)


def test_its_first_weights_follow_from_the_seed_and_touch_no_other_number():
    recipe = make_recipe({"alignment": {"hidden": 7}})
    before = torch.get_rng_state()
    a, b, c = (make_aligner("dann", 1.0, recipe, 5, seed, CPU) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert [tuple(p.shape) for p in a.parameters()] == [(7, 5), (7,), (1, 7), (1,)]
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.parameters()[0], c.parameters()[0])


def test_the_adversary_is_a_group_of_its_own_in_the_optimiser():
    network = nn.Sequential(nn.Linear(4, 3))
    adversary = Adversary(1.0, 3, 5, 0, CPU)
    recipe = make_recipe({"optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.1, "groups": {"0": {"learning_rate_factor": 0.5}}}})
    *_, last = make_optimizer(network, recipe, adversary.parameters()).param_groups
    assert [id(p) for p in last["params"]] == [id(p) for p in adversary.parameters()]
    assert last["lr"] == last["base_lr"] == 0.01 and last["weight_decay"] == 0.1


def test_the_configuration_and_the_training_have_the_same_methods_and_weights():
    for method, weight in METHODS.items():
        assert Adaptation.model_validate({"sample": "b", "method": method}).weight == weight
        assert Adaptation.model_validate({"sample": "b", "method": method, "weight": 3}).weight == 3
    assert Adaptation.model_validate({"sample": "b"}).model_dump() == {"sample": "b", "method": "mmd", "weight": 10.0, "paired": False}


# Whole trainings ------------------------------------------------------------------------------------------------------


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setitem(registry._BUILDERS, "toy-head", toy_head)
    return {"name": "toy-head"}


def fit(folder, network, adapt_to=None, recipe=None, seed=1):
    (stamps, objects), (others, second) = make_shifted(), make_shifted(second=True)
    given = {"adapt_stamps": others, "adapt_objects": second, "adapt_to": {"sample": "b", **adapt_to}} if adapt_to else {}
    places = {"out_dir": folder / "model", "resume_dir": folder / "resume"}
    recipe = {**RECIPE, **(recipe or {})}
    given |= {"network": network, "targets": CLASSES, "task": "classes", "seed": seed, "threads": 1, **places}
    return train(stamps=stamps, objects=objects, recipe=recipe, **given)


def accuracy(folder, second):
    stamps, objects = make_shifted(2000, second=second, seed=9)
    found = predict(load_model(folder / "model", "cpu"), stamps, threads=1, tta=False)["mean"]
    return (np.array(CLASSES)[found.argmax(axis=1)] == objects["label"]).mean()


def told_apart(folder):
    """Share of new stamps whose survey a linear classifier on the features gets right, fitted to half of them and asked about the others."""
    network = load_model(folder / "model", "cpu").network
    x = np.concatenate([network[:3](torch.from_numpy(make_shifted(2000, second=second, seed=9)[0].pixels)).numpy() for second in (False, True)])
    x, survey = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6), np.repeat([0, 1], 2000)
    half = np.arange(4000) // 2 % 2 == 0
    return LogisticRegression(max_iter=500).fit(x[half], survey[half]).score(x[~half], survey[~half])


@pytest.fixture(scope="module")
def unadapted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unadapted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._BUILDERS, "toy-head", toy_head)
        fit(folder, {"name": "toy-head"})
        return told_apart(folder), accuracy(folder, False), accuracy(folder, True)


# with momentum the players of the adversary chase each other: neither gains anything in a training as short as this
PATIENT = {"epochs": 60, "optimizer": {"name": "adam", "learning_rate": 5e-3, "beta1": 0.0}}


@pytest.mark.parametrize(
    ("adapt_to", "recipe"),
    [
        ({"method": "mmd", "weight": 2}, {}),
        ({"method": "mmd", "weight": 2, "paired": True}, {}),
        ({"method": "coral", "weight": 20}, {}),
        ({"method": "dann", "weight": 3}, PATIENT),
    ],
)
def test_a_known_shift_is_removed_and_the_source_is_not_wrecked(tmp_path, network, unadapted, adapt_to, recipe):
    result = fit(tmp_path, network, adapt_to, recipe)
    told_apart_before, source_before, target_before = unadapted
    assert told_apart(tmp_path) < told_apart_before - 0.02
    assert accuracy(tmp_path, True) > target_before + 0.05 and accuracy(tmp_path, False) > source_before - 0.09
    if adapt_to["method"] == "dann":
        assert result.history[-1]["domain_accuracy"] < 0.6, "the survey shows, to an unadapted network, in three of four stamps"


@pytest.mark.parametrize("adapt_to", [{"method": "coral"}, {"method": "dann"}])
def test_interrupted_it_goes_on_to_the_same_weights(tmp_path, network, monkeypatch, adapt_to):
    given = {"recipe": {"epochs": 4, "schedule": "cosine", "ema": 0.9, "alignment": {"warm_up_epochs": 3}}}
    whole = fit(tmp_path / "whole", network, adapt_to, **given)
    plain = Fit._train_epoch

    def stop(self, epoch, on_terminal):
        if epoch > 2:
            raise KeyboardInterrupt
        return plain(self, epoch, on_terminal)

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "_train_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "cut", network, adapt_to, **given)
    resumed = fit(tmp_path / "cut", network, adapt_to, **given)
    assert resumed.resumed_from == 2
    assert sha256_of(tmp_path / "cut/model/weights.safetensors") == sha256_of(tmp_path / "whole/model/weights.safetensors")
    assert [{**row, "seconds": 0} for row in resumed.history] == [{**row, "seconds": 0} for row in whole.history]


def test_the_adversary_is_reported_and_is_no_part_of_the_model(tmp_path, network):
    result = fit(tmp_path, network, {"method": "dann"}, {"epochs": 2})
    assert list(result.history[0])[-2:] == ["domain_loss", "domain_accuracy"]
    assert all(row["domain_loss"] > 0 and 0 <= row["domain_accuracy"] <= 1 for row in result.history)
    assert sorted(read_weights(tmp_path / "model/weights.safetensors")) == ["1.bias", "1.weight", "3.bias", "3.weight"]


def test_the_same_seed_gives_the_same_network_and_another_one_another(tmp_path, network):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        fit(tmp_path / name, network, {"method": "dann"}, {"epochs": 2}, seed)
    a, b, c = (sha256_of(tmp_path / name / "model/weights.safetensors") for name in "abc")
    assert a == b != c


def test_an_unknown_method_is_refused(tmp_path, network):
    with pytest.raises(ModelError, match=r"adapt_to\.method: 'adda' is not known; the methods are mmd, coral, dann"):
        fit(tmp_path, network, {"method": "adda"})
