"""Structural similarity against the formula written out window by window."""

import numpy as np
import pytest
import torch

from tuningfork.inference.ssim import ssim


def window_by_window(first, second, sigma):
    offset = np.arange(11) - 5
    weight = np.exp(-(offset[:, None] ** 2 + offset[None, :] ** 2) / (2 * sigma**2))
    weight /= weight.sum()
    found = []
    for a, b in zip(first, second, strict=True):  # channels
        for top in range(a.shape[0] - 10):
            for left in range(a.shape[1] - 10):
                p, q = a[top : top + 11, left : left + 11], b[top : top + 11, left : left + 11]
                mean_p, mean_q = (weight * p).sum(), (weight * q).sum()
                var_p, var_q = (weight * (p - mean_p) ** 2).sum(), (weight * (q - mean_q) ** 2).sum()
                cov = (weight * (p - mean_p) * (q - mean_q)).sum()
                found.append((2 * mean_p * mean_q + 1e-4) * (2 * cov + 9e-4) / ((mean_p**2 + mean_q**2 + 1e-4) * (var_p + var_q + 9e-4)))
    return np.mean(found)


@pytest.mark.parametrize("sigma", [1.5, 10.0])
def test_against_the_formula(sigma):
    rng = np.random.default_rng(0)
    first = rng.uniform(0, 1, (2, 3, 15, 13))
    second = np.clip(first + rng.normal(0, [[[[0.05]]], [[[0.4]]]], first.shape), 0, 1)
    got = ssim(torch.from_numpy(first), torch.from_numpy(second), sigma=sigma)
    np.testing.assert_allclose(got.numpy(), [window_by_window(a, b, sigma) for a, b in zip(first, second, strict=True)], atol=1e-10)


def test_one_for_equal_images_less_for_others_and_the_same_both_ways():
    images = torch.rand(3, 2, 20, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ssim(images, images), torch.ones(3, dtype=torch.float64))
    assert bool((ssim(images, 1 - images) < 0).all())
    torch.testing.assert_close(ssim(images, images.roll(1, 3)), ssim(images.roll(1, 3), images))


def test_the_range_of_the_values_is_a_scale():
    first, second = torch.rand(2, 1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ssim(255 * first, 255 * second, data_range=255), ssim(first, second))
