"""Normalisation: each stamp for itself, plain JSON, and robust where science asks for it."""

import json

import numpy as np
import pytest
import torch
from toy_sample import make_objects

from tuningfork.errors import ModelError
from tuningfork.training.normalisation import apply_normalisation, fit_normalisation
from tuningfork.training.recipe import make_recipe

NAMES = ["asinh_sky", "minmax_published", "unit", "standard"]


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
