"""An autoencoder's predictions: latents, how well the image comes back, and classes, also for a second survey of the same galaxies."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_survey import CLASSES, NETWORK, RECIPE, make_survey

from tuningfork.errors import ModelError
from tuningfork.files import read_json, sha256_of, write_json
from tuningfork.inference.compose import compose, learned_rows, prediction_table
from tuningfork.inference.forest import LatentForest
from tuningfork.inference.load import load_model
from tuningfork.inference.predict import predict
from tuningfork.inference.ssim import ssim
from tuningfork.training.arrays import ArrayStamps
from tuningfork.training.augmentation import d4_views
from tuningfork.training.loop import train
from tuningfork.training.normalisation import apply_normalisation

LATENTS = [f"z_{k:02d}" for k in range(6)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    stamps, objects = make_survey(60)
    places = {"out_dir": folder / "model", "resume_dir": folder / "resume"}
    train(network=NETWORK, stamps=stamps, objects=objects, targets=CLASSES, task="classes", recipe=RECIPE, seed=1, threads=1, **places)
    return folder / "model", stamps, objects


def look(trained, survey=None, **kwargs):
    folder, *own = trained
    stamps, objects = survey or own
    return predict(load_model(folder, "cpu"), stamps, objects["object_id"], galaxy_id=objects["galaxy_id"], threads=1, **kwargs)


def test_latents_and_reconstruction_are_the_networks_own(trained):
    folder, stamps, _ = trained
    model, found = load_model(folder, "cpu"), look(trained)
    images = apply_normalisation(model.normalisation, torch.from_numpy(stamps.pixels[:5]))
    with torch.inference_mode():
        out = model.network(images)
    assert list(found["columns"]) == [*LATENTS, "reconstruction_rmse", "ssim"]
    np.testing.assert_allclose(np.stack([found["columns"][name][:5] for name in LATENTS], axis=1), out.mu.numpy(), atol=1e-5)
    difference = (out.reconstruction - images).double().numpy()
    np.testing.assert_allclose(found["columns"]["reconstruction_rmse"][:5], np.sqrt((difference**2).mean(axis=(1, 2, 3))), rtol=1e-4)
    np.testing.assert_allclose(found["columns"]["ssim"][:5], ssim(images, out.reconstruction).numpy(), atol=1e-4)


def test_classes_are_the_forests_over_eight_views(trained):
    folder, stamps, objects = trained
    model, found = load_model(folder, "cpu"), look(trained)
    forest = LatentForest(model.latents, 3, trees=40, seed=1)
    images = apply_normalisation(model.normalisation, torch.from_numpy(stamps.pixels[:8]))
    with torch.inference_mode():
        views = torch.stack([model.network.encode(view)[0] for view in d4_views(images)], dim=1).numpy()
    expected = forest.probabilities(views, objects["galaxy_id"][:8])
    np.testing.assert_allclose(found["mean"][:8], expected.mean(axis=0), atol=0.03)  # a latent within rounding of a threshold may change sides
    np.testing.assert_allclose(found["std"][:8], expected.std(axis=0), atol=0.03)
    np.testing.assert_allclose(found["mean"].sum(axis=1), 1)
    assert (look(trained, tta=False)["std"] == 0).all()


def test_galaxies_of_the_training_are_judged_out_of_bag_in_either_survey(trained):
    learned = trained[2]["split"] == "train"
    for survey in (None, make_survey(60, second=True)):
        fair = look(trained, survey)["mean"]
        stamps, objects = survey or trained[1:]
        unfair = look(trained, (stamps, {**objects, "galaxy_id": np.char.add("x", objects["galaxy_id"])}))["mean"]
        assert np.allclose(fair[~learned], unfair[~learned]) and (np.abs(fair - unfair)[learned].max(axis=1) > 0).all()


def test_a_model_gives_the_same_every_time_and_in_any_batch(trained):
    first, again, small = look(trained), look(trained), look(trained, batch_size=8)
    assert np.array_equal(first["mean"], again["mean"])
    np.testing.assert_allclose(small["columns"]["z_00"], first["columns"]["z_00"], atol=1e-5)


def test_objects_without_a_usable_stamp_keep_their_row(trained):
    _, stamps, objects = trained
    pixels, status = stamps.pixels.copy(), stamps.status.copy().astype("U32")
    status[3], pixels[3], pixels[5, 0, 0, 0] = "absent", 0, np.nan
    found = look(trained, (ArrayStamps(stamps.object_id, pixels, status), objects))
    assert np.flatnonzero(np.isnan(found["mean"]).any(axis=1)).tolist() == [3, 5] == np.flatnonzero(np.isnan(found["columns"]["z_05"])).tolist()
    assert found["status"][[3, 5]].tolist() == ["absent", "failed"]


def test_the_table_of_predictions_has_latents_and_classes(trained):
    objects = trained[2]
    columns = compose(look(trained), CLASSES, objects["split"], learned=learned_rows(objects, unlabelled=True))
    table = prediction_table(columns, CLASSES, "classes")
    assert set(table.colnames) >= {"object_id", "split", "in_training", *CLASSES, "disc_std", "disc_main", *LATENTS, "reconstruction_rmse", "ssim"}
    assert np.array_equal(table["in_training"], objects["side"] == "train"), "rows without a label were learned from too"
    assert table["z_03"].info.meta["ucd"] == "stat.fit.param" and "latent 3" in table["z_03"].info.description
    assert np.array_equal(learned_rows(objects, unlabelled=False), objects["split"] == "train")


def test_weights_without_latents_are_refused(trained, tmp_path):
    folder = trained[0]
    about = read_json(folder / "model.json")
    tensors = {name: tensor for name, tensor in load_file(folder / "weights.safetensors").items() if not name.startswith("forest.")}
    save_file(tensors, tmp_path / "weights.safetensors")
    write_json(tmp_path / "model.json", {**about, "weights_sha256": sha256_of(tmp_path / "weights.safetensors")})
    with pytest.raises(ModelError, match="hold no latents of labelled objects"):
        look((tmp_path, *trained[1:]))
