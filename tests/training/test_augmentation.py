"""Augmentation against numpy and scipy, image by image."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tuningfork.training.augmentation import _grid, augment, d4_views, random_affine
from tuningfork.training.recipe import Augmentation


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def lopsided(n=1, side=24, channels=1):
    """Images that look like none of their mirror images or rotations."""
    y, x = np.indices((side, side)) / side
    image = np.sin(7 * x) + 2 * y**2 + x * y + np.exp(-((x - 0.3) ** 2 + (y - 0.2) ** 2) * 60)
    return torch.from_numpy(np.broadcast_to(image, (n, channels, side, side)).astype(np.float32).copy())


def views_of(image):
    turned = [np.rot90(image, k) for k in range(4)]
    return turned + [view[:, ::-1] for view in turned]


def test_nothing_asked_for_changes_nothing():
    images = lopsided(3)
    assert torch.equal(augment(images, Augmentation(), generator()), images)


def test_the_same_generator_gives_the_same_images_and_another_gives_others():
    recipe = Augmentation(rotation_deg=360, flips=True, shift_fraction=0.05, zoom=0.1)
    images = lopsided(8)
    once, again, other = (augment(images, recipe, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again) and not torch.equal(once, other)


@pytest.mark.parametrize("fill", ["nearest", "reflect", "zero"])
def test_the_affine_resampling_against_scipy(fill):
    recipe = Augmentation(rotation_deg=360, flips=True, shift_fraction=0.1, zoom=0.2, fill=fill)
    images = lopsided(6)
    got = augment(images, recipe, generator(5))[:, 0].numpy()
    mode = {"nearest": "nearest", "reflect": "reflect", "zero": "grid-constant"}[fill]
    for image, theta, result in zip(images[:, 0].numpy(), random_affine(6, recipe, generator(5)).double().numpy(), got, strict=True):
        # normalised coordinates are (x, y) with the side 2; scipy's are (y, x) in pixels about index 0
        matrix = theta[:, :2][::-1, ::-1]
        centre = (image.shape[0] - 1) / 2
        offset = theta[::-1, 2] * image.shape[0] / 2 + centre - matrix @ [centre, centre]
        expected = ndimage.affine_transform(image.astype(float), matrix, offset, order=1, mode=mode)
        np.testing.assert_allclose(result, expected, atol=2e-4)


def test_quarter_turns_are_exact_permutations_and_all_eight_occur():
    images = lopsided(64)
    out = augment(images, Augmentation(d4=True, flips=True), generator())[:, 0].numpy()
    views = views_of(images[0, 0].numpy())
    seen = {next(k for k, view in enumerate(views) if np.array_equal(view, image)) for image in out}
    assert seen == set(range(8))


def test_without_flips_no_image_is_mirrored():
    """Handedness: quarter turns alone give four views; a rotation by any angle has determinant +1."""
    images = lopsided(64)
    out = augment(images, Augmentation(d4=True), generator())[:, 0].numpy()
    views = views_of(images[0, 0].numpy())
    assert {next(k for k, view in enumerate(views) if np.array_equal(view, image)) for image in out} == set(range(4))
    recipe = Augmentation(rotation_deg=360, shift_fraction=0.1)
    assert (torch.linalg.det(random_affine(100, recipe, generator())[:, :, :2]) > 0).all()
    both = torch.linalg.det(random_affine(100, Augmentation(rotation_deg=360, flips=True), generator())[:, :, :2])
    assert (both > 0).any() and (both < 0).any()


def test_flips_alone_are_exact():
    images = lopsided(64, channels=3)
    out = augment(images, Augmentation(flips=True), generator()).numpy()
    image = images[0].numpy()
    choices = [image, image[:, :, ::-1], image[:, ::-1], image[:, ::-1, ::-1]]
    assert {next(k for k, c in enumerate(choices) if np.array_equal(c, got)) for got in out} == {0, 1, 2, 3}


@settings(max_examples=25, deadline=None)
@given(angle=st.floats(0, 360), shift=st.floats(0, 0.3), low=st.floats(0.5, 1), high=st.floats(1, 2), seed=st.integers(0, 99))
def test_draws_stay_within_what_the_recipe_allows(angle, shift, low, high, seed):
    theta = random_affine(50, Augmentation(rotation_deg=angle, shift_fraction=shift, zoom=(low, high), flips=True), generator(seed)).double()
    scale = torch.linalg.det(theta[:, :, :2]).abs().sqrt()
    assert (scale >= 1 / high - 1e-5).all() and (scale <= 1 / low + 1e-5).all()
    assert (theta[:, :, 2].abs() <= 2 * shift + 1e-6).all()


def test_the_eight_views_of_the_square():
    image = lopsided()
    got = d4_views(image)[:, 0, 0].numpy()
    for view, expected in zip(got, views_of(image[0, 0].numpy()), strict=True):
        assert np.array_equal(view, expected)
    assert len({view.tobytes() for view in got}) == 8


def test_the_grid_is_the_one_of_torch():
    theta = random_affine(5, Augmentation(rotation_deg=360, shift_fraction=0.2, zoom=0.3, flips=True), generator())
    torch.testing.assert_close(_grid(theta, 20, 28), torch.nn.functional.affine_grid(theta, [5, 1, 20, 28], align_corners=False))


@pytest.mark.parametrize("fill", ["nearest", "reflect", "zero"])
def test_a_turn_and_a_resampling_in_one_are_the_turn_and_then_the_resampling(fill):
    """Nothing is resampled twice; the draws are the same."""
    images = torch.rand(64, 2, 20, 20, generator=generator(3))
    affine = Augmentation(rotation_deg=30, shift_fraction=0.2, zoom=0.3, fill=fill)
    draws = generator(1)
    turns, mirrored = torch.randint(4, (64,), generator=draws).tolist(), torch.randint(2, (64,), generator=draws).tolist()
    turned = torch.stack([d4_views(image[None])[t + 4 * m, 0] for image, t, m in zip(images, turns, mirrored, strict=True)])
    expected = augment(turned, affine, draws)
    together = augment(images, dataclasses.replace(affine, d4=True, flips=True), generator(1))
    torch.testing.assert_close(together, expected, atol=1e-4, rtol=0)
    assert len(set(zip(turns, mirrored, strict=True))) == 8


def test_views_are_drawn_image_by_image():
    """Every image is the view that its own draw says, in any layout of memory."""
    images = torch.rand(32, 3, 11, 11, generator=generator(3))
    draws = generator(1)
    turns, mirrored = torch.randint(4, (32,), generator=draws).tolist(), torch.randint(2, (32,), generator=draws).tolist()
    for layout in (torch.contiguous_format, torch.channels_last):
        out = augment(images.contiguous(memory_format=layout), Augmentation(d4=True, flips=True), generator(1))
        for image, got, t, m in zip(images, out, turns, mirrored, strict=True):
            assert torch.equal(got, d4_views(image[None])[t + 4 * m, 0])
