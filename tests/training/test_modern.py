"""The preset `modern`, as a configuration reaches it."""

import json

import pytest
from toy_sample import RECIPE, TARGETS, make_store

from tuningfork.config import Model, recipe_of
from tuningfork.errors import ModelError
from tuningfork.files import sha256_of
from tuningfork.training.loop import train
from tuningfork.training.recipe import make_recipe


def fit(folder, recipe, task="classes"):
    stamps, objects = make_store(folder)
    places = {"out_dir": folder / "model", "resume_dir": folder / "resume"}
    return train(network={"name": "resnet18"}, stamps=stamps, objects=objects, targets=TARGETS, task=task, recipe=recipe, seed=3, threads=1, **places)


def test_it_trains_and_every_field_can_be_overridden(tmp_path, repository):
    training = {"epochs": 4, "warm_up_epochs": 1, "optimizer": {"layer_decay": 0.5, "learning_rate": 3e-3}, "normalisation": {"name": "asinh_sky"}}
    raw = recipe_of(Model(train="toys", recipe="modern", training=training), repository / "config" / "recipes")
    recipe = make_recipe(raw, "classes")
    assert (recipe.optimizer.name, recipe.optimizer.learning_rate, recipe.optimizer.layer_decay, recipe.schedule) == ("adamw", 3e-3, 0.5, "cosine")
    assert (recipe.ema, recipe.label_smoothing, recipe.warm_up_epochs, recipe.augmentation.d4, recipe.precision) == (0.999, 0.1, 1.0, True, "auto")
    result = fit(tmp_path, raw)
    assert result.epochs_run == 4 and result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    recorded = json.loads((tmp_path / "model/model.json").read_text())["training"]["recipe"]
    assert recorded == recipe.as_dict()


def test_labels_are_smoothed_in_training_and_not_in_validation(tmp_path):
    # with a rate of almost nothing the network stays as it was: the losses differ by what smoothing does to them
    still = {**RECIPE, "loss": "cross_entropy", "epochs": 1, "optimizer": {"name": "sgd", "learning_rate": 1e-12}}
    plain, smooth, all_even = (fit(tmp_path / str(part), {**still, "label_smoothing": part}).history[0] for part in (0, 0.3, 0.999999))
    assert smooth["validation_loss"] == pytest.approx(plain["validation_loss"], rel=1e-5)
    assert all_even["validation_loss"] == pytest.approx(plain["validation_loss"], rel=1e-5)
    # the smoothed cross entropy is linear in the part
    assert smooth["train_loss"] == pytest.approx(0.7 * plain["train_loss"] + 0.3 * all_even["train_loss"], rel=1e-4)
    assert abs(smooth["train_loss"] - plain["train_loss"]) > 1e-3


def test_only_classes_are_smoothed(repository):
    raw = recipe_of(Model(train="toys", recipe="modern"), repository / "config" / "recipes")
    for task, loss in (("fractions", "cross_entropy"), ("regression", "rmse")):
        with pytest.raises(ModelError, match=rf"label_smoothing: only classes are smoothed, .* task {task} .*set label_smoothing: 0"):
            make_recipe({**raw, "loss": loss}, task)
        assert make_recipe({**raw, "loss": loss, "label_smoothing": 0}, task).ema == 0.999
    with pytest.raises(ModelError, match="an autoencoder learns without labels"):
        make_recipe({**raw, "loss": "elbo"}, "classes")


def test_keys_at_their_defaults_change_nothing(tmp_path):
    stamps, objects = make_store(tmp_path)
    defaults = {"warm_up_epochs": 0, "ema": 0, "label_smoothing": 0.0}
    for schedule in ("cosine", "one_cycle"):
        old = {**RECIPE, "schedule": schedule, "optimizer": {"name": "adamw", "learning_rate": 3e-3, "weight_decay": 0.1}}
        new = {**old, **defaults, "freeze": 0, "optimizer": {**old["optimizer"], "layer_decay": 1.0}}
        digests = set()
        for name, recipe in (("old", old), ("new", new)):
            folder = tmp_path / schedule / name
            places = {"out_dir": folder / "model", "resume_dir": folder / "resume"}
            network = {"name": "deepshadows", "options": {"width": 0.2}}
            train(network=network, stamps=stamps, objects=objects, targets=TARGETS, task="fractions", recipe=recipe, seed=3, threads=1, **places)
            digests.add(sha256_of(folder / "model/weights.safetensors"))
        assert len(digests) == 1, schedule
