"""Normalisation: each stamp for itself, plain JSON, and robust where science asks for it."""

import json

import numpy as np
import pytest
import torch
from toy_sample import make_objects

from tuningfork.errors import ModelError
from tuningfork.training.normalisation import apply_normalisation, fit_normalisation, reuse
from tuningfork.training.recipe import make_recipe

NAMES = ["asinh_sky", "asinh_scaled", "minmax_published", "unit", "raw", "standard"]


def fitted_on_toys(name):
    shard, _ = make_objects(24)
    images = torch.from_numpy(shard.pixels.copy())
    sky, sigma = (torch.from_numpy(shard.scalars[key]) for key in ("sky", "sky_sigma"))
    spec = make_recipe({"normalisation": {"name": name}}).normalisation
    return fit_normalisation(spec, images, sky, sigma), images, sky, sigma


@pytest.mark.parametrize("name", NAMES)
def test_a_stamp_is_normalised_the_same_alone_and_in_any_batch(name):
    fitted, images, sky, sigma = fitted_on_toys(name)
    together = apply_normalisation(fitted, images, sky, sigma)
    for i in (0, 7, 23):
        alone = apply_normalisation(fitted, images[i : i + 1], sky[i : i + 1], sigma[i : i + 1])
        assert torch.equal(alone[0], together[i])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_fitted_survives_json_exactly(name):
    fitted, images, sky, sigma = fitted_on_toys(name)
    again = json.loads(json.dumps(fitted, allow_nan=False))
    assert torch.equal(apply_normalisation(fitted, images, sky, sigma), apply_normalisation(again, images, sky, sigma))


def test_asinh_against_numpy():
    fitted, images, sky, sigma = fitted_on_toys("asinh_sky")
    got = apply_normalisation(fitted, images, sky, sigma)[0, 0].numpy()
    stretched = np.arcsinh((images[0, 0].numpy() - sky[0].item()) / (3.0 * sigma[0].item()))
    side = np.arange(48) - 23.5
    inside = np.hypot(side[:, None], side[None, :]) <= 12
    peak = np.percentile(stretched[inside], 99.5, method="nearest")
    expected = np.clip(stretched, fitted["low"] * fitted["scale"], peak) / fitted["scale"]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_asinh_is_in_about_the_unit_range_and_keeps_brightness():
    fitted, images, sky, sigma = fitted_on_toys("asinh_sky")
    out = apply_normalisation(fitted, images, sky, sigma)
    assert -1 < float(out.min()) < 0 and 0.9 < float(out.max()) < 1.5
    faint = apply_normalisation(fitted, sky[:1, None, None, None] + (images[:1] - sky[:1, None, None, None]) / 10, sky[:1], sigma[:1])
    assert float(faint.max()) < 0.6 * float(out[0].max())


def test_a_change_of_units_changes_nothing():
    fitted, images, sky, sigma = fitted_on_toys("asinh_sky")
    out = apply_normalisation(fitted, images, sky, sigma)
    torch.testing.assert_close(apply_normalisation(fitted, images * 1000, sky * 1000, sigma * 1000), out, atol=1e-4, rtol=0)


def test_a_bright_neighbour_moves_minmax_but_not_asinh():
    """A star 100 times the galaxy's peak near the border: the normalised centre must stay as it is."""
    change = {}
    for name in ("asinh_sky", "minmax_published"):
        fitted, images, sky, sigma = fitted_on_toys(name)
        with_star = images.clone()
        y, x = np.indices((48, 48))
        star = np.exp(-((x - 42) ** 2 + (y - 5) ** 2) / (2 * 1.5**2)).astype(np.float32)
        with_star[:, 0] += 3000 * sigma[:, None, None].float() * torch.from_numpy(star)
        before, after = (apply_normalisation(fitted, batch, sky, sigma)[:, 0, 14:34, 14:34] for batch in (images, with_star))
        change[name] = float((before - after).abs().max())
        if name == "asinh_sky":
            whole = apply_normalisation(fitted, with_star, sky, sigma)
            assert float(whole.max()) < 1.5, "the star outshines the galaxy"
    assert change["asinh_sky"] < 1e-3
    assert change["minmax_published"] > 0.5


def test_published_minmax_is_eight_bit_and_per_image():
    image = torch.tensor([[[[10.0, 20.0], [30.0, 60.0]]]])
    expected = torch.tensor([[[[0, 51], [102, 255]]]]) / 255
    torch.testing.assert_close(apply_normalisation({"name": "minmax_published"}, image), expected)
    assert float(apply_normalisation({"name": "minmax_published"}, torch.full((1, 1, 4, 4), 7.0)).abs().max()) == 0


def test_standard_has_mean_zero_and_deviation_one_on_the_training_set():
    fitted, images, _, _ = fitted_on_toys("standard")
    out = apply_normalisation(fitted, images)
    assert abs(float(out.mean())) < 1e-4 and abs(float(out.std()) - 1) < 1e-3


def test_imagenet_constants_on_bytes():
    images = torch.full((1, 3, 4, 4), 128, dtype=torch.uint8)
    out = apply_normalisation(fit_normalisation({"name": "imagenet"}, images), images)
    np.testing.assert_allclose(out[0, :, 0, 0], [(128 / 255 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))], rtol=1e-5)
    with pytest.raises(ModelError, match="three channels"):
        fit_normalisation({"name": "imagenet"}, images[:, :1])


def test_asinh_without_a_sky_says_what_to_use():
    with pytest.raises(ModelError, match=r"sky_sigma.*unit, imagenet or standard"):
        apply_normalisation({"name": "asinh_sky", "softening_sigma": 3.0}, torch.zeros(1, 1, 8, 8))


def band_images(n=40, side=32, seed=0):
    """Sources of many brightnesses in three bands whose noise differs by ten, on a sky of their own."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((side, side)) - (side - 1) / 2
    source = np.exp(-(x**2 + y**2) / 18) * 10 ** rng.uniform(1, 2.5, (n, 1, 1, 1))
    scale = np.array([0.1, 1.0, 0.3])[None, :, None, None]
    return torch.from_numpy((scale * (source + rng.normal(5, 1, (n, 3, side, side)))).astype(np.float32))


def scaled(**options):
    return make_recipe({"normalisation": {"name": "asinh_scaled", **options}}).normalisation


def test_scaled_asinh_finds_each_bands_sky_and_noise_and_is_bounded():
    images = band_images()
    fitted = fit_normalisation(scaled(), images)
    np.testing.assert_allclose(fitted["sky"], [0.5, 5.0, 1.5], rtol=0.05)
    np.testing.assert_allclose(fitted["sigma"], [0.1, 1.0, 0.3], rtol=0.15)
    out = apply_normalisation(fitted, images)
    assert float(out.min()) >= 0 and float(out.max()) <= 1
    assert float((out == 0).float().mean()) < 0.002, "negative noise pixels are not cut off"
    assert float((out == 1).float().mean()) < 0.01
    expected = np.arcsinh((images[3, 1].numpy() - fitted["sky"][1]) / (3 * fitted["sigma"][1]))
    expected = np.clip((expected - fitted["low"][1]) / (fitted["high"][1] - fitted["low"][1]), 0, 1)
    np.testing.assert_allclose(out[3, 1].numpy(), expected, atol=1e-5)


def test_scaled_asinh_keeps_brightness_where_a_stretch_of_each_image_would_not():
    images = band_images()
    fitted = fit_normalisation(scaled(), images)
    sky = torch.tensor(fitted["sky"])[None, :, None, None]
    bright, faint = (apply_normalisation(fitted, sky + (images[:5] - sky) * factor).amax(dim=(2, 3)) for factor in (1, 0.2))
    assert bool((faint < 0.9 * bright).all())


def test_scaled_asinh_of_the_parent_holds_in_the_next_survey():
    images, spec = band_images(), scaled()
    fitted = fit_normalisation(spec, images)
    again = json.loads(json.dumps(fitted))
    assert reuse(spec, again, 3) == fitted
    assert reuse(scaled(inherit=False), again, 3) is None
    assert reuse(scaled(softening_sigma=10), again, 3) is None
    assert reuse(spec, again, 1) is None and reuse(spec, {"name": "unit"}, 3) is None and reuse(spec, None, 3) is None
    with pytest.raises(ModelError, match="fitted on 3 channel"):
        apply_normalisation(fitted, images[:, :1])


def test_scaled_asinh_of_pictures_without_noise_says_what_to_use():
    images = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
    images[:, :, 8, 8] = 200
    with pytest.raises(ModelError, match=r"no noise in one band.*use unit"):
        fit_normalisation(scaled(), images)


def test_a_stamp_without_noise_does_not_spoil_the_fit():
    images = band_images()
    holes = images.clone()
    holes[:5, 0] = 0
    np.testing.assert_allclose(fit_normalisation(scaled(), holes)["sigma"], fit_normalisation(scaled(), images)["sigma"], rtol=0.05)
