"""Whole trainings of a small network: it learns what is there, the same way every time, and nothing from shuffled labels."""

import csv
import json

import numpy as np
import pytest
import torch
from toy_sample import NETWORK, RECIPE, TARGETS, make_objects, make_store, toy_learner

from tuningfork.errors import ModelError
from tuningfork.files import sha256_of
from tuningfork.networks import registry
from tuningfork.networks.weights import read_weights
from tuningfork.training.arrays import ArrayStamps
from tuningfork.training.draws import epoch_order
from tuningfork.training.loop import train
from tuningfork.training.recipe import make_recipe


@pytest.fixture
def learner(monkeypatch):
    monkeypatch.setitem(registry._BUILDERS, "toy-learner", toy_learner)
    return {"name": "toy-learner"}


def fit(folder, stamps, objects, recipe=None, **kwargs):
    given = {"network": NETWORK, "targets": TARGETS, "task": "fractions", "seed": 1, "threads": 1, **kwargs}
    return train(stamps=stamps, objects=objects, recipe={**RECIPE, **(recipe or {})}, out_dir=folder / "model", resume_dir=folder / "resume", **given)


def test_a_model_folder_is_complete(tmp_path):
    stamps, objects = make_store(tmp_path)
    result = fit(tmp_path, stamps, objects, name="toy", data={"toys": "abc"}, code="123", simulated=True)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["history.csv", "model.json", "weights.safetensors"]
    assert not (tmp_path / "resume").exists()
    about = json.loads((tmp_path / "model/model.json").read_text())
    assert about["format"] == 1 and about["name"] == "toy" and about["targets"] == list(TARGETS) and about["simulated"] is True
    assert about["training"]["n_train"] == 32 and about["training"]["n_validation"] == 16 and about["training"]["seed"] == 1
    assert about["data"] == {"toys": "abc"} and about["code"] == "123" and about["parent"] is None and about["target_mean"] is None
    assert about["training"]["recipe"]["optimizer"]["beta2"] == 0.999, "the recipe is recorded with its defaults"
    with open(tmp_path / "model/history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"] and set(rows[0]) == {"epoch", "learning_rate", "train_loss", "validation_loss", "seconds"}
    losses = [float(row["validation_loss"]) for row in rows]
    assert result.best_validation_loss == min(losses) == about["training"]["best_validation_loss"] and result.best_epoch == 1 + int(np.argmin(losses))


def test_it_learns_the_training_set_by_heart(tmp_path, learner):
    shard, objects = make_objects(24)
    stamps = ArrayStamps(shard.object_id, shard.pixels, shard.status, shard.scalars)
    result = fit(tmp_path, stamps, objects, {"epochs": 60, "augmentation": {}, "batch_size": 8}, network=learner)
    y = np.stack([objects[name] for name in TARGETS], axis=1)[objects["split"] == "train"]
    baseline = np.sqrt(((y - y.mean(axis=0)) ** 2).mean(axis=1)).mean()
    assert result.history[-1]["train_loss"] < 0.4 * baseline


def test_shuffled_labels_teach_nothing_and_true_ones_do(tmp_path, learner):
    shard, objects = make_objects(150)
    stamps = ArrayStamps(shard.object_id, shard.pixels, shard.status, shard.scalars)
    y = np.stack([objects[name] for name in TARGETS], axis=1)
    train_rows, rest = (objects["split"] == side for side in ("train", "validation"))
    baseline = np.sqrt(((y[rest] - y[train_rows].mean(axis=0)) ** 2).mean(axis=1)).mean()
    recipe = {"epochs": 12, "batch_size": 10}
    true = fit(tmp_path / "true", stamps, objects, recipe, network=learner).best_validation_loss
    shuffled = fit(tmp_path / "shuffled", stamps, objects, {**recipe, "label_shuffle": True}, network=learner).best_validation_loss
    assert true < 0.6 * baseline
    assert shuffled > 0.93 * baseline


def test_the_same_seed_gives_the_same_weights_and_torch_is_left_alone(tmp_path):
    stamps, objects = make_store(tmp_path)
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        fit(tmp_path / name, stamps, objects, seed=seed)
        torch.rand(7)
        assert not torch.are_deterministic_algorithms_enabled() and torch.get_num_threads() == threads
    torch.manual_seed(5)
    fit(tmp_path / "fourth", stamps, objects)
    assert torch.equal(torch.get_rng_state(), before)
    digest = {name: sha256_of(tmp_path / name / "model/weights.safetensors") for name in ("one", "again", "other", "fourth")}
    assert digest["one"] == digest["again"] == digest["fourth"] != digest["other"]


def test_memory_mapped_training_gives_the_same_weights(tmp_path):
    stamps, objects = make_store(tmp_path)
    for name, memory in (("resident", 1024), ("mapped", 0)):
        fit(tmp_path / name, stamps, objects, memory_mb=memory)
    assert sha256_of(tmp_path / "resident/model/weights.safetensors") == sha256_of(tmp_path / "mapped/model/weights.safetensors")


def test_early_stopping_keeps_the_best_weights(tmp_path):
    stamps, objects = make_store(tmp_path)
    result = fit(tmp_path, stamps, objects, {"epochs": 40, "patience": 2, "optimizer": {"name": "adam", "learning_rate": 0.02}})
    assert result.epochs_run == result.best_epoch + 2 < 40
    # as many epochs as the best one took give exactly those weights
    fit(tmp_path / "short", stamps, objects, {"epochs": result.best_epoch, "patience": 2, "optimizer": {"name": "adam", "learning_rate": 0.02}})
    assert sha256_of(tmp_path / "short/model/weights.safetensors") == sha256_of(tmp_path / "model/weights.safetensors")


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adadelta"])
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_every_optimiser_and_schedule_trains(tmp_path, optimizer, schedule):
    stamps, objects = make_store(tmp_path, 24)
    result = fit(tmp_path, stamps, objects, {"optimizer": {"name": optimizer, "learning_rate": 0.01}, "schedule": schedule, "epochs": 2})
    assert np.isfinite(result.best_validation_loss) and result.history[-1]["learning_rate"] < 0.01


def test_bf16_trains_and_is_recorded(tmp_path):
    stamps, objects = make_store(tmp_path, 24)
    fit(tmp_path, stamps, objects, {"precision": "bf16", "epochs": 1})
    assert json.loads((tmp_path / "model/model.json").read_text())["training"]["precision"] == "bf16"
    assert all(torch.isfinite(tensor).all() for tensor in read_weights(tmp_path / "model/weights.safetensors").values())


def test_transfer_starts_from_all_the_parents_weights(tmp_path):
    stamps, objects = make_store(tmp_path)
    fit(tmp_path / "parent", stamps, objects)
    weights = tmp_path / "parent/model/weights.safetensors"
    still = {"epochs": 1, "optimizer": {"name": "sgd", "learning_rate": 1e-12}, "freeze": ["stem"]}
    result = fit(tmp_path / "child", stamps, objects, still, parent_weights=weights)
    assert result.fresh_tensors == []
    theirs, ours = read_weights(weights), read_weights(tmp_path / "child/model/weights.safetensors")
    for name in theirs:
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")) or name.startswith("stem"):
            torch.testing.assert_close(ours[name], theirs[name], msg=name)
    about = json.loads((tmp_path / "child/model/model.json").read_text())
    assert about["parent"] == {"name": "model", "weights_sha256": sha256_of(weights)}


def test_transfer_to_other_targets_gets_a_fresh_head_and_says_so(tmp_path, caplog):
    stamps, objects = make_store(tmp_path)
    fit(tmp_path / "parent", stamps, objects)
    weights = tmp_path / "parent/model/weights.safetensors"
    with caplog.at_level("INFO"):
        result = fit(tmp_path / "child", stamps, objects, {"loss": "rmse"}, targets=["size"], task="regression", parent_weights=weights)
    assert result.fresh_tensors == ["output.weight", "output.bias"] and "output.weight" in caplog.text
    with pytest.raises(ModelError, match="is of network 'deep-clash', this model is a 'deepshadows'"):
        fit(tmp_path / "wrong", stamps, objects, network={"name": "deepshadows"}, parent_weights=weights)


def test_freezing_what_the_network_does_not_have_is_refused(tmp_path):
    stamps, objects = make_store(tmp_path, 12)
    with pytest.raises(ModelError, match=r"no part 'stm'; did you mean 'stem'"):
        fit(tmp_path, stamps, objects, {"freeze": ["stm"]})


def test_a_diverging_training_stops_and_names_objects(tmp_path):
    stamps, objects = make_store(tmp_path)
    with pytest.raises(ModelError, match=r"not finite in epoch \d+.*'toy_f160w_\d+'.*learning rate"):
        fit(tmp_path, stamps, objects, {"epochs": 20, "optimizer": {"name": "sgd", "learning_rate": 1e30}, "loss": "mse"}, targets=["size"], task="regression")
    assert not (tmp_path / "model/model.json").exists()


def test_the_last_good_weights_survive_a_divergence(tmp_path, monkeypatch):
    stamps, objects = make_store(tmp_path)
    from tuningfork.training import fit as module

    plain = module.set_step
    monkeypatch.setattr(
        module, "set_step", lambda optimizer, schedule, step, *steps: plain(optimizer, schedule, step, *steps) if step < 4 else _explode(optimizer)
    )
    with pytest.raises(ModelError, match=r"weights of epoch [12] are in .*best-[12]\.safetensors"):
        fit(tmp_path, stamps, objects, {"epochs": 9})
    (best,) = (tmp_path / "resume").glob("best-*.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in read_weights(best).values())


def _explode(optimizer):
    for group in optimizer.param_groups:
        group["lr"] = 1e30
    return 1e30


def test_draws_of_an_epoch():
    rows = np.arange(100, 165)
    generator = torch.Generator().manual_seed(0)
    once = epoch_order(rows, make_recipe({"batch_size": 16}), generator)
    assert [len(batch) for batch in once] == [16, 16, 16, 16], "a last batch of one is left out"
    published = epoch_order(rows, make_recipe({"batch_size": 16, "draws_per_epoch": 4}), generator)
    assert len(published) == 16 and all(len(batch) == 16 for batch in published)
    assert len(np.unique(np.concatenate(published))) < 65 * 4 and set(np.concatenate(published)) <= set(rows)


def test_learning_rates_of_named_parts():
    from tuningfork.training.optimisers import make_optimizer
    from tuningfork.training.schedules import set_step

    network = registry.build("deep-clash", in_channels=1, n_outputs=3, image_size=48, seed=1, width=0.05)
    groups = {"stem": {"learning_rate_factor": 0.01}, "stem.2": {"learning_rate_factor": 0.1, "weight_decay": 0.26}}
    recipe = make_recipe({"optimizer": {"name": "sgd", "learning_rate": 0.1, "weight_decay": 0.5, "decay_biases": False, "groups": groups}})
    optimizer = make_optimizer(network, recipe)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {names[id(p)]: (round(g["lr"], 6), g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert found["stem.0.0.weight"] == (0.001, 0.5) and found["stem.0.0.bias"] == (0.001, 0.0)
    assert found["stem.2.0.weight"] == (0.01, 0.26) and found["output.weight"] == (0.1, 0.5)
    assert set_step(optimizer, "cosine", 5, 10) == pytest.approx(0.05)
    assert {round(g["lr"], 8) for g in optimizer.param_groups} == {0.0005, 0.005, 0.05}
