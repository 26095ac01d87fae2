"""Joining by position: against astropy, through frame offsets, and where there is nothing to join."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, match_coordinates_sky
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork.errors import SampleError
from tuningfork.samples import join


def scattered(n, seed=1, centre=(53.1, -27.8), side=0.1):
    rng = np.random.default_rng(seed)
    return centre[0] + side * (rng.random(n) - 0.5), centre[1] + side * (rng.random(n) - 0.5)


def test_mutual_nearest_is_what_astropy_finds():
    ra1, dec1 = scattered(400, 1)
    ra2, dec2 = scattered(500, 2)
    found = join.match(ra1, dec1, ra2, dec2, 8.0)
    left, right = SkyCoord(ra1, dec1, unit="deg"), SkyCoord(ra2, dec2, unit="deg")
    there, separation, _ = match_coordinates_sky(left, right)
    back, _, _ = match_coordinates_sky(right, left)
    mutual = (back[there] == np.arange(len(ra1))) & (separation < 8 * u.arcsec)
    np.testing.assert_array_equal(found.left, np.flatnonzero(mutual))
    np.testing.assert_array_equal(found.right, there[mutual])
    np.testing.assert_allclose(found.separation_arcsec, separation[mutual].to_value("arcsec"), atol=1e-6)


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0.1, 60), st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_no_row_is_matched_twice_and_swapping_sides_changes_nothing(n, m, radius, seed):
    ra1, dec1 = scattered(n, seed, side=0.03)
    ra2, dec2 = scattered(m, seed + 1, side=0.03)
    one, two = join.match(ra1, dec1, ra2, dec2, radius), join.match(ra2, dec2, ra1, dec1, radius)
    assert len(set(one.left)) == len(one.left) and len(set(one.right)) == len(one.right)
    assert (one.separation_arcsec <= radius * (1 + 1e-9)).all()
    assert set(zip(one.left.tolist(), one.right.tolist(), strict=True)) == set(zip(two.right.tolist(), two.left.tolist(), strict=True))


def test_a_magnitude_difference_lets_the_true_partner_win_over_a_nearer_one():
    ra, dec = np.array([10.0]), np.array([0.0])
    ra2, dec2 = np.array([10.0, 10.0 + 0.3 / 3600]), np.array([0.1 / 3600, 0.0])
    assert join.match(ra, dec, ra2, dec2, 0.4).right.tolist() == [0]
    assert join.match(ra, dec, ra2, dec2, 0.4, np.array([22.0]), np.array([25.0, 22.2]), 0.5).right.tolist() == [1]
    assert len(join.match(ra, dec, ra2, dec2, 0.4, np.array([22.0]), np.array([25.0, np.nan]), 0.5).left) == 0


def test_identical_positions_match_at_zero_and_unknown_positions_do_not():
    ra, dec = np.ma.MaskedArray([1.0, 2.0], mask=[False, True]), np.array([1.0, 2.0])
    found = join.match(ra, dec, np.array([1.0, 2.0]), dec, 1.0)
    assert found.left.tolist() == [0] and found.separation_arcsec[0] == 0


def test_matching_crosses_the_zero_meridian():
    found = join.match(np.array([359.99999]), np.array([0.0]), np.array([0.00001]), np.array([0.0]), 0.2)
    assert found.separation_arcsec[0] == pytest.approx(0.072, abs=1e-6)
    offset = join.measure_offset(np.array([359.99999]), np.array([0.0]), np.array([0.00001]), np.array([0.0]))
    assert offset.ra_arcsec == pytest.approx(0.072, abs=1e-6)


@pytest.mark.parametrize("shift", [(0.09, -0.26), (-0.5, 0.4), (0.0, 0.0)])
def test_offset_of_the_frames_is_measured_and_removed(shift):
    ra1, dec1 = scattered(600, 3)
    rng = np.random.default_rng(4)
    ra2 = ra1 + (shift[0] + 0.03 * rng.standard_normal(600)) / 3600 / np.cos(np.radians(dec1))
    dec2 = dec1 + (shift[1] + 0.03 * rng.standard_normal(600)) / 3600
    found, offset = join.align(ra1, dec1, ra2, dec2, radius_arcsec=0.2, search_arcsec=1.5)
    assert offset.ra_arcsec == pytest.approx(shift[0], abs=0.005) and offset.dec_arcsec == pytest.approx(shift[1], abs=0.005)
    assert offset.rms_arcsec == pytest.approx(0.03, rel=0.1) and len(found.left) == 600
    np.testing.assert_array_equal(found.left, found.right)


def test_frames_that_scatter_too_much_are_refused():
    ra1, dec1 = scattered(400, 5)
    rng = np.random.default_rng(6)
    ra2 = ra1 + 0.25 * rng.standard_normal(400) / 3600
    dec2 = dec1 + 0.25 * rng.standard_normal(400) / 3600
    with pytest.raises(SampleError, match="not in one frame"):
        join.align(ra1, dec1, ra2, dec2, radius_arcsec=1.0, search_arcsec=2.0)
    with pytest.raises(SampleError, match="same sky"):
        join.align(ra1, dec1, ra1 + 1, dec1)


def test_columns_of_the_partner_are_masked_where_there_is_none():
    left = Table({"object_id": ["a", "b", "c"]})
    right = Table({"size": MaskedColumn([1.0, 2.0], mask=[False, True], unit="arcsec", description="size"), "name": ["x", "y"]})
    joined = join.take_columns(left, right, join.Match(np.array([0, 2]), np.array([0, 1]), np.zeros(2)), ["size", "name"], "guo_")
    assert joined["guo_size"].mask.tolist() == [False, True, True] and joined["guo_name"].filled("-").tolist() == ["x", "-", "y"]
    assert str(joined["guo_size"].unit) == "arcsec" and joined["guo_size"].info.description == "size"
    with pytest.raises(SampleError, match="no column 'nope'"):
        join.take_columns(left, right, join.Match(*(np.empty(0, int),) * 2, np.empty(0)), ["nope"])


def test_real_stamps_carry_the_frame_of_their_catalogue(shared_data):
    """The WCS centre of the nine real CANDELS stamps: each is its own mutual nearest neighbour, and none of another's."""
    from astropy.io import fits
    from astropy.wcs import WCS

    ra, dec = [], []
    for path in sorted((shared_data / "candels_clash_hst" / "candels_gds_slim").glob("*.fits")):
        with fits.open(path) as hdus:
            hdu = next(h for h in hdus if h.data is not None)
            sky = WCS(hdu.header, naxis=2).pixel_to_world((hdu.data.shape[-1] - 1) / 2, (hdu.data.shape[-2] - 1) / 2)
        ra.append(sky.ra.deg)
        dec.append(sky.dec.deg)
    ra, dec = np.array(ra), np.array(dec)
    found = join.match(ra, dec, ra[::-1], dec[::-1], 0.4)
    assert len(found.left) == 9 and (found.right == 8 - found.left).all()
    assert ((ra > 52.99) & (ra < 53.28) & (dec > -28) & (dec < -27.6)).all()
