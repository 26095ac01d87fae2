"""Trainings that start from a file of weights from elsewhere: the record says so, frozen layers stay as the file has them, and what is interrupted goes on."""

import json

import pytest
import torch
from safetensors.torch import save_file
from toy_sample import RECIPE, TARGETS, make_store

from tuningfork.errors import ModelError
from tuningfork.files import sha256_of
from tuningfork.inference.load import load_model
from tuningfork.networks.registry import build
from tuningfork.networks.weights import read_weights
from tuningfork.publishing.model_card import model_card
from tuningfork.training.fit import Fit
from tuningfork.training.loop import train

RESNET, CONVNEXT = {"name": "resnet18"}, {"name": "convnext_atto", "options": {"layer_scale": 0.1}}
HARSH = {"name": "adamw", "learning_rate": 1e-2, "weight_decay": 0.5}


def fit(folder, network, file, recipe=None, **given):
    stamps, objects = make_store(folder, 24)
    given = {"parent_weights": file, "parent_file": {}, "threads": 1, "seed": 1, "resume_dir": folder / "resume", **given}
    recipe = {**RECIPE, "epochs": 1, "loss": "cross_entropy", **(recipe or {})}
    return train(network=network, stamps=stamps, objects=objects, targets=TARGETS, task="classes", recipe=recipe, out_dir=folder / "model", **given)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Encoders in timm's names for colour pictures, whose running statistics are no zeros and ones."""
    folder, found = tmp_path_factory.mktemp("files"), {}
    for name in ("resnet18", "convnext_atto"):
        whole = build(name, in_channels=3, n_outputs=10, image_size=64, seed=8, **({"head": "linear"} if name == "resnet18" else {}))
        torch.manual_seed(2)
        state = {f"encoder.{key}": torch.rand_like(value) * 0.1 + ("var" in key) if "running" in key else value for key, value in whole.state_dict().items()}
        found[name] = folder / f"{name}-encoder.safetensors"
        save_file({key: value for key, value in state.items() if ".fc." not in key or ".mlp." in key}, found[name])
    return found


@pytest.mark.parametrize(
    ("network", "freeze", "frozen"),
    [
        (RESNET, 1, ("conv1.", "bn1.", "layer1.", "layer2.")),
        (CONVNEXT, 3, ("stem.", "stages.0.", "stages.1.")),
        (CONVNEXT, ["stages.3.blocks.1"], ("stages.3.blocks.1.",)),
    ],
    ids=str,
)
def test_frozen_layers_stay_as_the_file_has_them(tmp_path, files, network, freeze, frozen):
    file = files[network["name"]]
    result = fit(tmp_path, network, file, {"freeze": freeze, "optimizer": HARSH})
    theirs = {key.removeprefix("encoder."): value for key, value in read_weights(file).items()}
    ours = read_weights(tmp_path / "model/weights.safetensors")
    same = {key for key in theirs if torch.equal(theirs[key], ours[key])}
    first = {"conv1.weight", "stem.0.weight"}  # three channels became one
    assert same == {key for key in theirs if key.startswith(frozen)} - first
    for key in first & set(ours):
        assert torch.equal(ours[key], theirs[key].sum(dim=1, keepdim=True)) == (freeze in (1, 3))
    assert result.fresh_tensors and all(key.startswith(("head.", "fc.")) for key in result.fresh_tensors)


def test_the_record_and_the_card_name_the_file(tmp_path, files):
    file = files["convnext_atto"]
    fit(tmp_path, CONVNEXT, file, {"optimizer": {**HARSH, "layer_decay": 0.7}}, parent_file={"prefix": None, "first_layer": "adapt"})
    about = json.loads((tmp_path / "model/model.json").read_text())
    parent = dict(about["parent"])
    notes = parent.pop("notes")
    assert parent == {"file": file.name, "sha256": sha256_of(file), "prefix": "encoder.", "first_layer": "adapt"}
    assert notes[0] == "stem.0.weight: adapted from 3 to 1 channel(s): kernels summed" and notes[1].startswith("the head starts anew: head.fc.weight")
    card = model_card(about)
    assert f"started from the file `{file.name}` (SHA-256 `{sha256_of(file)}`, names below `encoder.`)" in card and f"  - {notes[0]}" in card
    assert "objects of its test set may be among it" in card
    assert load_model(tmp_path / "model").network.name == "convnext_atto"


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path, files, monkeypatch):
    network = {"name": "convnext_atto", "options": {"layer_scale": 0.1, "stochastic_depth": 0.2}}
    fit(tmp_path / "whole", network, files["convnext_atto"], {"epochs": 2})
    validate, calls = Fit.validate, []

    def stop_in_the_second(self):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(self)

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "validate", stop_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "cut", network, files["convnext_atto"], {"epochs": 2})
    again = fit(tmp_path / "cut", network, files["convnext_atto"], {"epochs": 2})
    assert again.resumed_from == 1
    assert sha256_of(tmp_path / "cut/model/weights.safetensors") == sha256_of(tmp_path / "whole/model/weights.safetensors")


def test_another_way_to_read_the_file_is_another_training(tmp_path, files, monkeypatch):
    def stop(self):
        raise KeyboardInterrupt

    fit(tmp_path / "a", CONVNEXT, files["convnext_atto"])
    with monkeypatch.context() as patch:
        patch.setattr("tuningfork.training.loop.write_model", lambda *_: stop(None))
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "b", CONVNEXT, files["convnext_atto"])
    result = fit(tmp_path / "b", CONVNEXT, files["convnext_atto"], parent_file={"first_layer": "fresh"})
    assert result.resumed_from == 0 and result.fresh_tensors[0] == "stem.0.weight"
    assert sha256_of(tmp_path / "a/model/weights.safetensors") != sha256_of(tmp_path / "b/model/weights.safetensors")


def test_a_file_of_another_network_stops_before_the_training(tmp_path, files):
    with pytest.raises(ModelError, match=r"convnext_atto-encoder\.safetensors: weights of another network \(resnet18 wanted\)"):
        fit(tmp_path, RESNET, files["convnext_atto"])
    assert not (tmp_path / "model").exists()


def test_our_own_file_without_its_description(tmp_path, files):
    fit(tmp_path / "first", CONVNEXT, files["convnext_atto"])
    ours = tmp_path / "first/model/weights.safetensors"
    result = fit(tmp_path / "second", CONVNEXT, ours, {"optimizer": {"name": "sgd", "learning_rate": 1e-12}, "freeze": 5})
    assert result.fresh_tensors == []
    about = json.loads((tmp_path / "second/model/model.json").read_text())
    assert about["parent"] == {"file": "weights.safetensors", "sha256": sha256_of(ours), "prefix": "", "first_layer": "adapt", "notes": []}
