from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reproject import reproject_exact
from stamp_scenes import wcs_of

from tuningfork.stamps.background import robust_sky
from tuningfork.stamps.resample import bucket_size, resample_windows

IMAGE = np.random.default_rng(5).gamma(1.5, 1.0, (90, 100))


def covered(low: float, high: float, n: int) -> np.ndarray:
    """Length of each pixel inside an interval, in float64."""
    place = np.arange(n)
    return np.clip(np.minimum(high, place + 0.5) - np.maximum(low, place - 0.5), 0, None)


@settings(max_examples=60, deadline=None)
@given(x=st.floats(-20, 120), y=st.floats(-20, 120), side=st.floats(0.3, 70), pixels=st.integers(1, 90))
def test_flux_in_the_square_comes_back(x, y, side, pixels):
    stamp = resample_windows(IMAGE, [x], [y], [side], pixels)[0].astype(float)
    flux = covered(y - side / 2, y + side / 2, 90) @ IMAGE @ covered(x - side / 2, x + side / 2, 100)
    assert stamp.sum() * (side / pixels) ** 2 == pytest.approx(flux, rel=1e-5, abs=1e-6 * side**2)


def test_every_output_pixel_is_the_mean_of_what_it_covers():
    stamp = resample_windows(IMAGE, [40.3], [51.7], [13.7], 9)[0]
    edges_x, edges_y = 40.3 + 13.7 * (np.arange(10) / 9 - 0.5), 51.7 + 13.7 * (np.arange(10) / 9 - 0.5)
    across = np.array([covered(a, b, 100) for a, b in pairwise(edges_x)])
    along = np.array([covered(a, b, 90) for a, b in pairwise(edges_y)])
    np.testing.assert_allclose(stamp, along @ IMAGE @ across.T / (13.7 / 9) ** 2, rtol=3e-6)


@pytest.mark.parametrize(("x", "y", "side"), [(50.2, 40.9, 31.3), (48, 44, 12.0), (51.5, 44.5, 60.01)])
def test_agrees_with_reproject_exact(x, y, side):
    pixels = 16
    source = wcs_of(100)
    target = source.deepcopy()
    zoom = pixels / side
    target.wcs.crpix = (source.wcs.crpix - (np.array([x, y]) + 1 - side / 2)) * zoom + 0.5
    target.wcs.cd = source.wcs.cd / zoom
    expected = reproject_exact((IMAGE, source), target, shape_out=(pixels, pixels), parallel=False, return_footprint=False)
    stamp = resample_windows(IMAGE, [x], [y], [side], pixels)[0].astype(float)
    assert stamp.sum() == pytest.approx(expected.sum(), rel=1e-5)
    np.testing.assert_allclose(stamp, expected, rtol=1e-4)


def test_a_bucket_holds_its_window_and_wastes_little():
    side = np.geomspace(0.1, 5000, 5000)
    size = bucket_size(side)
    assert (size >= np.ceil(side) + 1).all() and (size <= np.maximum((side + 2) * 1.14, side + 3)).all()
    assert len(np.unique(size)) < 120


def test_sky_is_robust_against_sources_and_holes():
    rng = np.random.default_rng(8)
    sample = rng.normal(3.0, 0.5, (200, 600))
    sample[:, :90] += rng.exponential(5.0, (200, 90))
    sample[:, 90:200] = np.nan
    sample[7] = np.nan
    sky, sigma = robust_sky(sample)
    assert np.isnan(sky[7]) and np.isnan(sigma[7])
    assert abs(np.nanmean(sky) - 3) < 0.05 and abs(np.nanmean(sigma) - 0.5) < 0.05
    assert robust_sky(np.full((1, 9), 2.5)) == (2.5, 0.0)
