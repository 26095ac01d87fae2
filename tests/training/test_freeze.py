"""Frozen layers are really frozen: parameters and running statistics bit for bit, no gradient, nothing in the optimiser."""

import pytest
import torch
from torch import nn
from toy_sample import RECIPE, TARGETS, make_store

from tuningfork.errors import ModelError
from tuningfork.networks.registry import build
from tuningfork.networks.weights import read_weights
from tuningfork.training import loop
from tuningfork.training.fit import Fit
from tuningfork.training.freezing import freeze, keep_frozen
from tuningfork.training.loop import train

RESNET, SHADOWS = {"name": "resnet18"}, {"name": "deepshadows", "options": {"width": 0.2, "batch_norm_momentum": 0.1}}
HARSH = {"name": "adamw", "learning_rate": 1e-2, "weight_decay": 0.5}


def fit(folder, network, recipe=None, **kwargs):
    stamps, objects = make_store(folder)
    given = {**RECIPE, "epochs": 2, "loss": "cross_entropy", **(recipe or {})}
    places = {"out_dir": folder / "model", "resume_dir": folder / "resume"}
    return train(network=network, stamps=stamps, objects=objects, targets=TARGETS, task="classes", recipe=given, seed=1, threads=1, **places, **kwargs)


@pytest.fixture(scope="module")
def parents(tmp_path_factory):
    """Weights of short trainings, whose running statistics are no longer zeros and ones."""
    folder = tmp_path_factory.mktemp("parents")
    for network in (RESNET, SHADOWS):
        fit(folder / network["name"], network, {"epochs": 1})
    return {network["name"]: folder / network["name"] / "model/weights.safetensors" for network in (RESNET, SHADOWS)}


@pytest.mark.parametrize(
    ("network", "what", "prefixes"),
    [
        (RESNET, ["conv1", "bn1", "layer1", "layer3.0"], ("conv1.", "bn1.", "layer1.", "layer3.0.")),
        (RESNET, 1, ("conv1.", "bn1.", "layer1.", "layer2.")),
        (RESNET, 2, ("conv1.", "bn1.", "layer")),
        (SHADOWS, ["blocks"], ("blocks.",)),
        (SHADOWS, ["blocks.0.0.2.weight", "blocks.0.0.2.bias"], ("blocks.0.0.2.",)),
    ],
    ids=str,
)
@pytest.mark.parametrize("more", [{}, {"ema": 0.9, "precision": "bf16"}], ids=["plain", "averaged"])
def test_frozen_layers_are_bit_for_bit_their_parents(tmp_path, parents, monkeypatch, network, what, prefixes, more):
    fits = []

    class Kept(Fit):
        def __post_init__(self):
            super().__post_init__()
            fits.append(self)

    monkeypatch.setattr(loop, "Fit", Kept)
    weights = parents[network["name"]]
    fit(tmp_path, network, {"freeze": what, "optimizer": HARSH, "epochs": 1, **more}, parent_weights=weights)
    before, after = read_weights(weights), read_weights(tmp_path / "model/weights.safetensors")
    frozen = {name for name in before if name.startswith(prefixes)}
    assert frozen and any(name.endswith("running_var") for name in frozen)
    assert {name for name in before if torch.equal(before[name], after[name])} == frozen, "those and no others"
    (done,) = fits
    names = {id(parameter): name for name, parameter in done.module.named_parameters()}
    assert all(parameter.grad is None for name, parameter in done.module.named_parameters() if name in frozen)
    learning = {names[id(parameter)] for group in done.optimizer.param_groups for parameter in group["params"]}
    assert learning == {names[id(parameter)] for parameter in done.optimizer.state} == set(names.values()) - frozen


def test_dropout_and_batch_normalisation_of_frozen_parts_alone_are_in_evaluation_mode():
    network = build("deepshadows", in_channels=1, n_outputs=3, image_size=48, width=0.2)
    freeze(network, ["blocks.0", "blocks.1"])
    keep_frozen(network.train(), ["blocks.0", "blocks.1"])
    modes = {name: part.training for name, part in network.named_modules() if isinstance(part, nn.BatchNorm2d | nn.Dropout)}
    assert len(modes) == 6 and {name for name, training in modes.items() if training} == {name for name in modes if name.startswith("blocks.2")}


def test_without_freeze_everything_stays_in_training():
    network = build("resnet18", in_channels=1, n_outputs=3, image_size=32).train()
    for nothing in ((), 0):
        assert freeze(network, nothing) == []
        keep_frozen(network, nothing)
        assert all(part.training for part in network.modules()) and all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (["layer1", "layr2"], r"no part 'layr2'; did you mean 'layer2'"),
        (["layer"], r"no part 'layer'; did you mean 'layer\d'"),
        (["layer1.0.conv1.wight"], r"did you mean 'layer1\.0\.conv1\.weight'"),
        (["xyz"], r"no part 'xyz'; its parts are conv1, bn1"),
        (3, "the network has 3 groups of layers; to freeze 3 leaves nothing"),
        (["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "head"], "every parameter is frozen"),
    ],
)
def test_mistakes_are_named(what, message):
    network = build("resnet18", in_channels=1, n_outputs=3, image_size=32)
    with pytest.raises(ModelError, match=message):
        freeze(network, what)


def test_a_number_needs_groups_of_layers():
    with pytest.raises(ModelError, match=r"freeze: network 'deepshadows' does not say how its layers are grouped .*: blocks, dense, relu, output"):
        freeze(build("deepshadows", in_channels=1, n_outputs=3, image_size=48), 1)


def test_frozen_random_weights_are_warned_of(tmp_path, caplog):
    fit(tmp_path, SHADOWS, {"freeze": ["blocks.0"], "epochs": 1})
    assert "4 frozen tensor(s) keep their random first weights" in caplog.text and "'blocks.0.0.0.weight'" in caplog.text
