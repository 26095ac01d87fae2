"""Learning rates layer by layer."""

import numpy as np
import pytest
import torch
from torch import nn

from tuningfork.errors import ModelError
from tuningfork.networks.registry import build
from tuningfork.training.freezing import freeze
from tuningfork.training.optimisers import make_optimizer
from tuningfork.training.recipe import make_recipe
from tuningfork.training.schedules import set_step


def resnet():
    return build("resnet18", in_channels=1, n_outputs=3, image_size=32)


def rates(network, optimizer):
    """(learning rate, weight decay) by the parameter's name."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {names[id(parameter)]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for parameter in group["params"]}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(found), "every parameter once"
    return found


def test_the_rate_falls_from_the_head_to_the_images():
    network = resnet()
    found = rates(network, make_optimizer(network, make_recipe({"optimizer": {"learning_rate": 0.1, "layer_decay": 0.8}})))
    assert set(found) == {name for name, _ in network.named_parameters()}
    wanted = {"conv1": 0.064, "bn1": 0.064, "layer1": 0.064, "layer2": 0.064, "layer3": 0.08, "layer4": 0.08, "head": 0.1}
    for name, (rate, _) in found.items():
        assert rate == pytest.approx(wanted[name.split(".")[0]]), name


def test_it_goes_together_with_groups_schedule_and_freeze():
    network = resnet()
    groups = {"layer4": {"learning_rate_factor": 0.1, "weight_decay": 0.3}, "bn1": {"learning_rate_factor": 2.0}}
    recipe = make_recipe({"optimizer": {"name": "adamw", "learning_rate": 0.1, "weight_decay": 0.5, "layer_decay": 0.5, "groups": groups}})
    freeze(network, ["layer1"])
    optimizer = make_optimizer(network, recipe)
    set_step(optimizer, "cosine", 0, 10, 4)
    found = rates(network, optimizer)
    assert not any(name.startswith("layer1") for name in found)
    assert found["layer4.0.conv1.weight"] == (pytest.approx(0.1 * 0.1 * 0.5 / 5), 0.3)
    assert found["layer3.0.conv1.weight"] == (pytest.approx(0.1 * 0.5 / 5), 0.5)
    assert found["bn1.weight"] == (pytest.approx(0.1 * 2 * 0.25 / 5), 0.5) and found["head.fc2.weight"] == (pytest.approx(0.1 / 5), 0.5)


def test_a_decay_of_one_is_no_decay_for_any_network():
    network = build("deep-clash", in_channels=1, n_outputs=3, image_size=48, width=0.05)
    assert len(make_optimizer(network, make_recipe({"optimizer": {"layer_decay": 1}})).param_groups) == 1


def test_a_network_without_groups_of_layers_is_refused():
    network = build("deep-clash", in_channels=1, n_outputs=3, image_size=48, width=0.05)
    with pytest.raises(ModelError, match=r"optimizer\.layer_decay: network 'deep-clash' does not say how its layers are grouped"):
        make_optimizer(network, make_recipe({"optimizer": {"layer_decay": 0.8}}))


def test_groups_that_leave_a_parameter_out_or_hold_it_twice_are_refused():
    class Careless(nn.Module):
        def __init__(self, groups):
            super().__init__()
            self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 2)
            self.chosen = groups

        def layer_groups(self):
            return [list(getattr(self, name).parameters()) for name in self.chosen]

    for chosen, wrong in ((["one"], "two.weight"), (["one", "two", "one"], "one.weight")):
        with pytest.raises(ModelError, match=rf"do not hold '{wrong}' exactly once"):
            make_optimizer(Careless(chosen), make_recipe({"optimizer": {"layer_decay": 0.8}}))


def keras(name, w, gradient_of, steps, rate=0.01, l2=0.0, momentum=0.9, rho=0.95, beta1=0.9, beta2=0.999, eps=1e-7):
    """The update rules in the documentation of Keras, in plain numpy; the regulariser l2 * sum(w^2) adds 2 l2 w to the gradient."""
    first, second = np.zeros_like(w), np.zeros_like(w)
    for step in range(1, steps + 1):
        g = gradient_of(w) + 2 * l2 * w
        if name == "sgd":
            first = momentum * first - rate * g
            w = w + first
        elif name == "adam":
            first, second = beta1 * first + (1 - beta1) * g, beta2 * second + (1 - beta2) * g**2
            w = w - rate * np.sqrt(1 - beta2**step) / (1 - beta1**step) * first / (np.sqrt(second) + eps)
        else:
            first = rho * first + (1 - rho) * g**2
            change = np.sqrt(second + eps) / np.sqrt(first + eps) * g
            second = rho * second + (1 - rho) * change**2
            w = w - rate * change
    return w


@pytest.mark.parametrize("l2", [0.0, 0.13])
@pytest.mark.parametrize("name", ["sgd", "adam", "adadelta"])
def test_optimisers_against_the_formulas_of_keras(name, l2):
    rng = np.random.default_rng(0)
    start, curvature = rng.normal(size=(3, 4)), rng.uniform(0.5, 3, (3, 4))
    layer = nn.Linear(4, 3, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start))
    # Keras adds epsilon to the root of the uncorrected moment, torch to that of the corrected one: the same where it is small
    eps = {"adam": 1e-14, "adadelta": 1e-7, "sgd": 1e-7}[name]
    spec = {"name": name, "learning_rate": 0.01, "weight_decay": 2 * l2, **({"eps": eps} if name == "adam" else {})}
    optimizer = make_optimizer(layer, make_recipe({"optimizer": spec}))
    for _ in range(25):
        optimizer.zero_grad()
        (torch.from_numpy(curvature) * layer.weight.square() / 2).sum().backward()
        optimizer.step()
    expected = keras(name, start, lambda w: curvature * w, 25, l2=l2, eps=eps)
    assert np.abs(expected - start).max() > 1e-4
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=1e-9, atol=1e-12)
