"""Learning rates layer by layer."""

import pytest
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
