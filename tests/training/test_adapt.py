"""Domain adaptation: a second sample whose features become like the first one's, the same way after every interruption."""

import json

import numpy as np
import pytest
import torch
from toy_survey import CLASSES, NETWORK, RECIPE, make_survey

from tuningfork.errors import ModelError
from tuningfork.files import sha256_of
from tuningfork.inference.load import load_model
from tuningfork.inference.predict import predict
from tuningfork.training.adapt import make_second_sample
from tuningfork.training.arrays import ArrayStamps
from tuningfork.training.data import make_training_data
from tuningfork.training.discrepancy import mmd
from tuningfork.training.fit import Fit
from tuningfork.training.loop import train
from tuningfork.training.recipe import make_recipe

ADAPT = {"sample": "north", "method": "mmd", "weight": 10.0, "paired": False}
CPU = torch.device("cpu")


def fit(folder, first, second=None, recipe=None, adapt_to=ADAPT, **kwargs):
    (stamps, objects), given = first, {"network": NETWORK, "targets": CLASSES, "task": "classes", "seed": 1, "threads": 1, **kwargs}
    if second is not None:
        given |= {"adapt_stamps": second[0], "adapt_objects": second[1], "adapt_to": adapt_to}
    return train(stamps=stamps, objects=objects, recipe={**RECIPE, **(recipe or {})}, out_dir=folder / "model", resume_dir=folder / "resume", **given)


def latents_and_accuracy(folder, stamps, objects):
    found = predict(load_model(folder / "model", "cpu"), stamps, objects["object_id"], galaxy_id=objects["galaxy_id"], threads=1)
    unseen = objects["split"] == "test"
    right = np.array(CLASSES)[found["mean"][unseen].argmax(axis=1)] == objects["label"][unseen]
    return torch.from_numpy(np.stack([found["columns"][f"z_{k:02d}"] for k in range(6)], axis=1)), right.mean()


@pytest.fixture(scope="module")
def surveys():
    return make_survey(150), make_survey(150, second=True)


@pytest.fixture(scope="module")
def start(tmp_path_factory, surveys):
    folder = tmp_path_factory.mktemp("start")
    fit(folder, surveys[0], recipe={"epochs": 10})
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two small surveys, and a network that has hardly begun."""
    pair = make_survey(45), make_survey(45, second=True)
    folder = tmp_path_factory.mktemp("small")
    fit(folder, pair[0], recipe={"epochs": 1})
    return pair, folder / "model/weights.safetensors"


@pytest.mark.parametrize("paired", [False, True])
def test_it_brings_two_surveys_together_and_keeps_the_classes(tmp_path, surveys, start, paired):
    weights = start / "model/weights.safetensors"
    result = fit(tmp_path, *surveys, {"epochs": 6}, {**ADAPT, "paired": paired}, parent_weights=weights)
    (south, south_right), (north, north_right) = (latents_and_accuracy(start, *survey) for survey in surveys)
    (south_after, south_right_after), (north_after, north_right_after) = (latents_and_accuracy(tmp_path, *survey) for survey in surveys)
    assert mmd(south_after, north_after) < 0.75 * mmd(south, north)
    assert south_right_after >= south_right - 0.1 and north_right_after >= north_right - 0.05
    about = json.loads((tmp_path / "model/model.json").read_text())
    assert about["training"]["adapt_to"] == {**ADAPT, "paired": paired, "n_train": 90, "n_validation": 30}
    assert about["training"]["discrepancy"] == result.history[result.best_epoch - 1]["discrepancy"] > 0
    assert about["normalisation"] == json.loads((start / "model/model.json").read_text())["normalisation"], "one asinh for both"


@pytest.mark.parametrize("recipe", [{}, {"alignment": {"frozen_source": True, "estimator": "unbiased"}}, {"draws_per_epoch": 0.7}])
def test_interrupted_it_goes_on_to_the_same_weights(tmp_path, small, monkeypatch, recipe):
    surveys, weights = small
    given = {"parent_weights": weights, "recipe": {"epochs": 3, "schedule": "cosine", **recipe}}
    whole = fit(tmp_path / "whole", *surveys, **given)
    plain = Fit._train_epoch

    def stop(self, epoch, on_terminal):
        if epoch > 1:
            raise KeyboardInterrupt
        return plain(self, epoch, on_terminal)

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "_train_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "cut", *surveys, **given)
    resumed = fit(tmp_path / "cut", *surveys, **given)
    assert resumed.resumed_from == 1
    assert sha256_of(tmp_path / "cut/model/weights.safetensors") == sha256_of(tmp_path / "whole/model/weights.safetensors")
    assert [{**row, "seconds": 0} for row in resumed.history] == [{**row, "seconds": 0} for row in whole.history]


def test_a_supervised_network_adapts_by_what_goes_into_its_last_layer(tmp_path, small):
    surveys = small[0]
    recipe = {"loss": "cross_entropy", "epochs": 2}
    network = {"name": "deepshadows", "options": {"width": 0.25}}
    result = fit(tmp_path, *surveys, recipe, network=network)
    assert list(result.history[0])[-1] == "discrepancy" and result.history[-1]["discrepancy"] > 0
    assert predict(load_model(tmp_path / "model", "cpu"), surveys[1][0], threads=1)["mean"].shape == (45, 3)


def test_labels_of_the_second_sample_are_not_looked_at(tmp_path, small):
    (south, (stamps, second)), _ = small
    digests = set()
    for name, label in (("true", second["label"]), ("none", np.full(45, "")), ("nonsense", np.full(45, "blob"))):
        fit(tmp_path / name, south, (stamps, {**second, "label": label}), {"epochs": 1})
        digests.add(sha256_of(tmp_path / name / "model/weights.safetensors"))
    assert len(digests) == 1


def test_memory_mapped_it_gives_the_same_weights(tmp_path, small):
    for name, memory in (("resident", 1024), ("mapped", 0)):
        fit(tmp_path / name, *small[0], {"epochs": 1}, memory_mb=memory)
    assert sha256_of(tmp_path / "resident/model/weights.safetensors") == sha256_of(tmp_path / "mapped/model/weights.safetensors")


def beside(surveys, adapt_to=ADAPT, change=None):
    (stamps, objects), (others, second) = surveys
    recipe = make_recipe(RECIPE)
    data = make_training_data(stamps, objects, CLASSES, "classes", recipe.normalisation, device=CPU, budget_bytes=2**30, unlabelled=True)
    return data, make_second_sample(data, objects, others, {**second, **(change or {})}, adapt_to, device=CPU, budget_bytes=2**30)


def test_unpaired_batches_are_as_large_and_go_through_the_whole_side(surveys):
    data, second = beside(surveys)
    order = [data.train[:40], data.train[40:], data.train[:40]]
    found = second.beside(order, torch.Generator().manual_seed(0))
    assert [len(rows) for rows in found] == [40, 50, 40]
    assert sorted(np.concatenate(found)[:90].tolist()) == sorted(second.train.tolist())


def test_paired_batches_are_the_same_galaxies(surveys):
    few = np.where(np.arange(150) % 2 == 0, surveys[1][1]["galaxy_id"], surveys[1][1]["object_id"])
    data, second = beside(surveys, {**ADAPT, "paired": True}, {"galaxy_id": few})
    order = [data.train[:60], data.train[60:61]]
    found = second.beside(order, torch.Generator())
    galaxy = {name: key for name, key in zip(surveys[1][1]["object_id"], few, strict=True)}
    assert [galaxy[second.object_id[row]] for row in found[0]] == [key for key in data.galaxy_id[order[0]] if int(key[-4:]) % 2 == 0]
    assert len(found[1]) >= 2, "a discrepancy needs two"


def test_what_does_not_fit_is_refused(surveys):
    other_side = {"split": np.roll(surveys[1][1]["split"], 3), "side": np.roll(surveys[1][1]["side"], 3)}
    with pytest.raises(ModelError, match=r"on another side of the split in north: 'galaxy_.*give both samples the same split"):
        beside(surveys, change=other_side)
    with pytest.raises(ModelError, match=r"only 0 training galaxies are in both samples"):
        beside(surveys, {**ADAPT, "paired": True}, {"galaxy_id": surveys[1][1]["object_id"]})
    with pytest.raises(ModelError, match=r"0 usable stamp.* on the validation side"):
        sides = {name: np.where(surveys[1][1][name] == "validation", "test", surveys[1][1][name]) for name in ("split", "side")}
        beside(surveys, change=sides)
    small = ArrayStamps(surveys[1][0].object_id, surveys[1][0].pixels[:, :1])
    with pytest.raises(ModelError, match=r"stamps of north are 1x64x64 float32, those that are trained on 3x64x64 float32"):
        beside((surveys[0], (small, surveys[1][1])))


def test_switches_that_need_more_say_what(tmp_path, surveys):
    with pytest.raises(ModelError, match=r"frozen copy.*'from'"):
        fit(tmp_path, *surveys, {"alignment": {"frozen_source": True}})
    with pytest.raises(ModelError, match="stamps and the objects of the second sample are missing"):
        fit(tmp_path, surveys[0], (None, None))


def test_a_frozen_source_gives_the_forest_its_latents(tmp_path, small):
    pair, weights = small
    fit(tmp_path, *pair, {"epochs": 1, "alignment": {"frozen_source": True}}, parent_weights=weights)
    parent, adapted = load_model(weights.parent, "cpu"), load_model(tmp_path / "model", "cpu")
    assert parent.latents is not None and adapted.latents is not None
    np.testing.assert_array_equal(adapted.latents.latents, parent.latents.latents)
    first = next(iter(parent.network.state_dict()))
    assert not torch.equal(parent.network.state_dict()[first], adapted.network.state_dict()[first]), "the copy learned the second sample"
