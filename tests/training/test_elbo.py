"""Training an autoencoder: its loss by hand, what it learns from, and what it leaves in the model folder."""

import json
import math

import numpy as np
import pytest
import torch
from toy_survey import CLASSES, NETWORK, RECIPE, make_survey

from tuningfork.errors import ModelError
from tuningfork.files import sha256_of
from tuningfork.networks.galaxy_vae import VaeOutput
from tuningfork.networks.registry import build
from tuningfork.networks.weights import read_weights
from tuningfork.training.data import make_training_data
from tuningfork.training.latents import LabelledLatents
from tuningfork.training.loop import train
from tuningfork.training.objective import ElboObjective, make_objective
from tuningfork.training.recipe import Elbo, make_recipe


def fit(folder, stamps, objects, recipe=None, **kwargs):
    given = {"network": NETWORK, "targets": CLASSES, "task": "classes", "seed": 1, "threads": 1, **kwargs}
    return train(stamps=stamps, objects=objects, recipe={**RECIPE, **(recipe or {})}, out_dir=folder / "model", resume_dir=folder / "resume", **given)


class Fixed(torch.nn.Module):
    """Gives back every image a half too bright; its latents are (1, 0) with variances (1, e)."""

    def forward(self, images, generator=None):
        latents = torch.tensor([[1.0, 0.0]]).expand(len(images), 2)
        return VaeOutput(images + 0.5, latents, torch.tensor([[0.0, 1.0]]).expand(len(images), 2))


@pytest.mark.parametrize(("reconstruction", "error", "share"), [("sum", 0.25 * 48, 1), ("mean", 0.25, 1 / 48), ("mean_published", 0.25, 1)])
def test_the_loss_worked_out_by_hand(reconstruction, error, share):
    objective = ElboObjective(Elbo(beta=2.0, reconstruction=reconstruction, warm_up_epochs=3))
    values, features = objective.rows(Fixed(), torch.rand(5, 3, 4, 4))
    kl = 0.5 * (1 + (math.e - 2)) * share  # of N((1, 0), (1, e)) from N(0, 1): (mu^2 + s^2 - 1 - ln s^2) / 2 each
    np.testing.assert_allclose(values.numpy(), [[error, kl]] * 5, rtol=1e-5)
    assert features.tolist() == [[1.0, 0.0]] * 5
    assert float(objective.loss(values)) == pytest.approx(error + 2 * kl, rel=1e-5)
    assert float(objective.loss(values, None, 1)) == pytest.approx(error + 2 * kl / 4, rel=1e-5), "warm-up"
    assert float(objective.loss(values, None, 4)) == pytest.approx(error + 2 * kl, rel=1e-5)
    assert objective.parts(values) == pytest.approx({"reconstruction": error, "kl": kl}, rel=1e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    stamps, objects = make_survey(150)
    result = fit(folder, stamps, objects, {"epochs": 16, "batch_size": 6})
    return folder, stamps, objects, result


def test_it_gives_images_back_better_than_their_mean(trained):
    folder, stamps, objects, result = trained
    about = json.loads((folder / "model/model.json").read_text())
    data = make_training_data(
        stamps, objects, CLASSES, "classes", about["normalisation"], device=torch.device("cpu"), budget_bytes=2**30, parent_normalisation=about["normalisation"]
    )
    (images,) = data.images.batches([np.concatenate([data.train, data.validation])])
    learned, rest = images[: len(data.train)], images[len(data.train) :]
    by_mean = float((rest - learned.mean(dim=0)).square().flatten(1).sum(dim=1).mean())
    # what no reconstruction can give back: the pixel noise, from differences of neighbours at the border
    noise = float((images[:, :, :8, 1:8] - images[:, :, :8, :7]).var() / 2) * images[0].numel()
    best = result.history[result.best_epoch - 1]["reconstruction"]
    assert best - noise < 0.8 * (by_mean - noise)


def test_the_model_folder_says_what_it_learned(trained):
    folder, _, objects, result = trained
    about = json.loads((folder / "model/model.json").read_text())
    training = about["training"]
    assert about["n_outputs"] == 0 and about["targets"] == list(CLASSES) and training["latents"] == 6
    best = result.history[result.best_epoch - 1]
    assert training["kl"] == best["kl"] > 0 and training["reconstruction"] == best["reconstruction"] > 0 and 2 <= training["active_units"] <= 6
    assert best["validation_loss"] == pytest.approx(best["reconstruction"] + 0.2 * best["kl"], rel=1e-5)
    assert (folder / "model/history.csv").read_text().splitlines()[0] == "epoch,learning_rate,train_loss,validation_loss,seconds,reconstruction,kl"
    assert training["n_train"] == (objects["side"] == "train").sum(), "rows without a label are learned from as well"
    assert training["n_labelled"] == (objects["split"] == "train").sum()


def test_latents_of_labelled_training_rows_lie_with_the_weights(trained):
    folder, _, objects, _ = trained
    tensors = read_weights(folder / "model/weights.safetensors")
    kept = LabelledLatents.of_tensors(tensors)
    chosen = objects["split"] == "train"
    assert sorted(kept.object_id) == sorted(objects["object_id"][chosen]) and kept.latents.shape == (chosen.sum(), 8, 6)
    place = {name: row for row, name in enumerate(objects["object_id"])}
    rows = [place[name] for name in kept.object_id]
    assert [CLASSES[label] for label in kept.labels] == objects["label"][rows].tolist() and (kept.galaxy_id == objects["galaxy_id"][rows]).all()
    assert LabelledLatents.of_tensors({}) is None


def test_ids_that_are_not_ascii_come_back():
    odd = np.array(["NGC 224", "Größe-α", ""])
    kept = LabelledLatents(odd, odd[::-1], np.array([0, 1, 1]), np.zeros((3, 1, 2), np.float32))
    again = LabelledLatents.of_tensors(kept.tensors())
    assert again.object_id.tolist() == odd.tolist() and again.galaxy_id.tolist() == odd[::-1].tolist()


@pytest.mark.parametrize("options", [{"unpool": True}, {"output": "relu"}])
def test_the_published_switches_train_and_repeat(tmp_path, options):
    stamps, objects = make_survey(30)
    network = {"name": "galaxy-vae", "options": {"latent": 3, **options}}
    recipe = {"epochs": 1, "normalisation": {"name": "raw"}, "elbo": {"reconstruction": "mean_published"}, "forest": {"trees": 5, "views": False}}
    for name in ("one", "again"):
        fit(tmp_path / name, stamps, objects, recipe, network=network)
    assert sha256_of(tmp_path / "one/model/weights.safetensors") == sha256_of(tmp_path / "again/model/weights.safetensors")


def test_the_last_epoch_stays_where_the_recipe_says_so(tmp_path):
    stamps, objects = make_survey(30)
    result = fit(tmp_path, stamps, objects, {"keep": "last", "epochs": 3, "optimizer": {"name": "adam", "learning_rate": 0.03}})
    assert result.best_epoch == result.epochs_run == 3 and result.best_validation_loss == result.history[-1]["validation_loss"]


def test_what_cannot_be_trained_is_said_before_it_starts(tmp_path):
    stamps, objects = make_survey(30)
    with pytest.raises(ModelError, match="needs a sample with task classes, not fractions"):
        make_recipe(RECIPE, "fractions")
    one_class = {**objects, "split": np.where(objects["label"] == "disc", objects["split"], "unlabelled")}
    with pytest.raises(ModelError, match=r"at least two classes; there are disc \d, bar 0, pair 0"):
        fit(tmp_path, stamps, one_class)
    with pytest.raises(ModelError, match="learns with loss elbo, not mse"):
        make_objective(make_recipe({"loss": "mse"}), "classes", build("galaxy-vae", in_channels=1, n_outputs=0, image_size=64))
    with pytest.raises(ModelError, match="elbo trains an autoencoder, such as network galaxy-vae, not deepshadows"):
        fit(tmp_path, stamps, objects, network={"name": "deepshadows"})
