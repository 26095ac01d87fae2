"""Predictions: each stamp for itself, the same for all eight views, and a row for everything that was asked for."""

import dataclasses

import numpy as np
import pytest
import torch
from toy_sample import NETWORK, RECIPE

from tuningfork.errors import ModelError, StampError
from tuningfork.inference.load import load_model
from tuningfork.inference.predict import predict
from tuningfork.training.arrays import ArrayStamps
from tuningfork.training.augmentation import d4_views
from tuningfork.training.loop import train
from tuningfork.training.losses import activate
from tuningfork.training.normalisation import apply_normalisation


@pytest.fixture(scope="module")
def model(trained):
    return load_model(trained[0], "cpu")


def in_memory(stamps, change=None, **kwargs):
    pixels = stamps.take(np.arange(len(stamps)))
    scalars = {name: values.copy() for name, values in stamps.scalars.items()}
    if change:
        change(pixels, scalars)
    return ArrayStamps(stamps.object_id, pixels, np.array(stamps.status, dtype="U32"), scalars)


def test_mean_and_spread_over_the_eight_views(model, trained):
    _, stamps, _ = trained
    got = predict(model, stamps, stamps.object_id[:3], threads=1)
    for i in range(3):
        sky = [torch.from_numpy(stamps.scalars[name][i : i + 1]) for name in ("sky", "sky_sigma")]
        image = apply_normalisation(model.normalisation, torch.from_numpy(stamps.take([i])), *sky)
        with torch.inference_mode():
            views = torch.stack([activate(model.network(view), model.task)[0] for view in d4_views(image)]).double().numpy()
        np.testing.assert_allclose(got["mean"][i], views.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(got["std"][i], views.std(axis=0), atol=1e-6)
    np.testing.assert_allclose(got["mean"].sum(axis=1), 1, atol=1e-6)
    single = predict(model, stamps, stamps.object_id[:3], tta=False, threads=1)
    assert (single["std"] == 0).all() and not np.allclose(single["mean"], got["mean"], atol=1e-7)


def test_a_network_that_knows_left_from_right_sees_no_mirror_images(model, trained):
    """Trained without flips (clockwise or anticlockwise?): averaged over the four turns alone."""
    _, stamps, _ = trained
    training = model.info["training"]
    unflipped = {**training, "recipe": {**training["recipe"], "augmentation": {**training["recipe"]["augmentation"], "flips": False}}}
    handed = dataclasses.replace(model, info={**model.info, "training": unflipped})
    got = predict(handed, stamps, stamps.object_id[:1], threads=1)
    sky = [torch.from_numpy(stamps.scalars[name][:1]) for name in ("sky", "sky_sigma")]
    image = apply_normalisation(model.normalisation, torch.from_numpy(stamps.take([0])), *sky)
    with torch.inference_mode():
        views = torch.stack([activate(model.network(torch.rot90(image, k, (2, 3))), model.task)[0] for k in range(4)]).double().numpy()
    np.testing.assert_allclose(got["mean"][0], views.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(got["std"][0], views.std(axis=0), atol=1e-6)


@pytest.mark.parametrize("tta", [True, False])
def test_a_prediction_does_not_depend_on_its_batch(model, trained, tta):
    _, stamps, _ = trained
    everything = predict(model, stamps, tta=tta, threads=1)
    for batch_size in (1, 24, 56):
        some = stamps.object_id[[40, 3, 17, 9, 3]]
        part = predict(model, stamps, some, tta=tta, batch_size=batch_size, threads=1)
        assert part["object_id"].tolist() == some.tolist()
        np.testing.assert_allclose(part["mean"], everything["mean"][[40, 3, 17, 9, 3]], atol=2e-6)
    # nor on how bright its companions are
    bright = in_memory(stamps, lambda pixels, scalars: pixels.__setitem__(slice(1, None), pixels[1:] * 1000))
    np.testing.assert_allclose(predict(model, bright, tta=tta, threads=1)["mean"][0], everything["mean"][0], atol=2e-6)


def test_a_turned_or_mirrored_galaxy_is_the_same_galaxy(model, trained):
    _, stamps, _ = trained

    def turn(pixels, scalars):
        pixels[:] = np.rot90(pixels, 1, (2, 3))[..., ::-1].copy()

    np.testing.assert_allclose(predict(model, in_memory(stamps, turn), threads=1)["mean"], predict(model, stamps, threads=1)["mean"], atol=2e-6)


def test_objects_without_a_usable_stamp_keep_their_row(model, trained):
    _, stamps, _ = trained
    whole = in_memory(stamps)
    whole.status[[4, 5]] = ["absent", "partial"]
    got = predict(model, whole, threads=1)
    assert np.isnan(got["mean"][4]).all() and np.isnan(got["std"][4]).all() and got["status"][4] == "absent"
    assert np.isfinite(np.delete(got["mean"], 4, axis=0)).all()


def test_bad_pixels_lose_one_row_and_are_named(model, trained, caplog):
    _, stamps, _ = trained

    def spoil(pixels, scalars):
        pixels[4, 0, 3, 3] = np.nan
        pixels[6] = 1.0
        scalars["sky_sigma"][8] = 0

    got = predict(model, in_memory(stamps, spoil), threads=1)
    assert np.flatnonzero(~np.isfinite(got["mean"]).all(axis=1)).tolist() == [4, 6, 8]
    assert got["status"][[4, 6, 8]].tolist() == ["failed"] * 3
    assert all(f"'toy_f160w_00{i}'" in caplog.text for i in (4, 6, 8))
    np.testing.assert_allclose(got["mean"][5], predict(model, stamps, threads=1)["mean"][5], atol=2e-6)


def test_a_regression_comes_back_in_its_own_units(trained, tmp_path):
    _, stamps, objects = trained
    objects = {**objects, "radius": 100 + 50 * objects["size"]}
    places = {"out_dir": tmp_path / "m", "resume_dir": tmp_path / "r"}
    recipe = {**RECIPE, "loss": "rmse", "epochs": 1}
    train(network=NETWORK, stamps=stamps, objects=objects, targets=["radius"], task="regression", recipe=recipe, seed=1, threads=1, **places)
    model = load_model(tmp_path / "m", "cpu")
    got = predict(model, stamps, threads=1)
    sky = [torch.from_numpy(stamps.scalars[name]) for name in ("sky", "sky_sigma")]
    images = apply_normalisation(model.normalisation, torch.from_numpy(stamps.take(np.arange(len(stamps)))), *sky)
    with torch.inference_mode():
        raw = torch.stack([model.network(view) for view in d4_views(images)]).double().numpy()
    on_train = objects["radius"][objects["split"] == "train"]
    np.testing.assert_allclose(got["mean"], raw.mean(axis=0) * on_train.std() + on_train.mean(), atol=1e-3)
    np.testing.assert_allclose(got["std"], raw.std(axis=0) * on_train.std(), atol=1e-3)


def test_what_does_not_fit_is_refused(model, trained):
    _, stamps, _ = trained
    with pytest.raises(ModelError, match=r"takes stamps of 1x48x48.*these are 3x48x48"):
        predict(model, ArrayStamps(np.array(["a"]), np.ones((1, 3, 48, 48), np.float32)))
    with pytest.raises(ModelError, match="sky"):
        predict(model, ArrayStamps(np.array(["a"]), np.ones((1, 1, 48, 48), np.float32)))
    with pytest.raises(ModelError, match="trained on float32 pixels, these are uint8"):
        predict(model, ArrayStamps(np.array(["a"]), np.ones((1, 1, 48, 48), np.uint8)))
    with pytest.raises(StampError, match="'ghost'"):
        predict(model, stamps, ["ghost"])


def test_nothing_to_predict(model, trained):
    _, stamps, _ = trained
    assert predict(model, stamps, [])["mean"].shape == (0, 3)


def test_shifted_views_are_averaged_too(model, trained):
    _, stamps, _ = trained
    got = predict(model, stamps, stamps.object_id[:2], threads=1, shifts_px=2)
    sky = [torch.from_numpy(stamps.scalars[name][:2]) for name in ("sky", "sky_sigma")]
    images = apply_normalisation(model.normalisation, torch.from_numpy(stamps.take([0, 1])), *sky)
    wide = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    views = []
    for down, right in ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2)):
        moved = torch.from_numpy(wide[:, :, 2 - down : 50 - down, 2 - right : 50 - right].copy())
        with torch.inference_mode():
            views += [activate(model.network(view), model.task).double().numpy() for view in d4_views(moved)]
    np.testing.assert_allclose(got["mean"], np.mean(views, axis=0), atol=2e-6)
    np.testing.assert_allclose(got["std"], np.std(views, axis=0), atol=2e-6)
    # the same whichever way up the stamp was, as without shifts
    turned = in_memory(stamps, lambda pixels, scalars: pixels.__setitem__(slice(None), np.rot90(pixels, 1, (2, 3)).copy()))
    np.testing.assert_allclose(predict(model, turned, stamps.object_id[:2], threads=1, shifts_px=2)["mean"], got["mean"], atol=2e-6)
    alone = predict(model, stamps, stamps.object_id[:2], tta=False, threads=1, shifts_px=2)
    assert (alone["std"] == 0).all()
