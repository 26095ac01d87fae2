"""Angles from text and numbers, and matching on the sphere against astropy and brute force."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Column, MaskedColumn
from hypothesis import given
from hypothesis import strategies as st

from tuningfork.catalogues.positions import degrees, groups_within, nearest
from tuningfork.errors import CatalogueError

SPOTS = st.lists(st.tuples(st.floats(0, 0.01), st.floats(-0.01, 0.01)), min_size=1, max_size=12)


def text(*values: str) -> Column:
    return Column(list(values), name="RA")


def test_decimal_and_sexagesimal_angles():
    found = degrees(text("53.1", "03 32 14.40", "03:32:14.40", "3h32m14.40s", "", "nan"), hours=True, where="t")
    assert found[0] == 53.1 and found[1:4].tolist() == pytest.approx([53.06] * 3)
    assert found.mask.tolist() == [False] * 4 + [True] * 2
    assert degrees(text("-00:30:00", "\N{MINUS SIGN}5.25"), hours=False, where="t").tolist() == pytest.approx([-0.5, -5.25])


def test_numbers_take_their_unit():
    assert degrees(Column([1.0], unit="hourangle"), hours=True, where="t")[0] == pytest.approx(15)
    assert degrees(MaskedColumn([1.0, 2.0], mask=[False, True]), hours=True, where="t").mask.tolist() == [False, True]
    with pytest.raises(CatalogueError, match="no angle"):
        degrees(Column([1.0], unit="mag", name="RA"), hours=True, where="t")
    with pytest.raises(CatalogueError, match="neither decimal nor sexagesimal"):
        degrees(text("here"), hours=True, where="t")


@given(st.floats(0, 359.999), st.floats(-89.9, 89.9))
def test_sexagesimal_text_comes_back(ra, dec):
    coordinate = SkyCoord(ra * u.deg, dec * u.deg)
    hours = coordinate.ra.to_string(unit=u.hourangle, sep=":", precision=6)
    signed = coordinate.dec.to_string(unit=u.deg, sep=" ", precision=6, alwayssign=True)
    assert degrees(text(hours), hours=True, where="t")[0] % 360 == pytest.approx(ra, abs=1e-7)
    assert degrees(text(signed), hours=False, where="t")[0] == pytest.approx(dec, abs=1e-7)


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.9999, 20.0), (10.0, 89.9999), (200.0, -90.0)])
def test_nearest_across_the_seam_and_at_the_poles(ra, dec):
    here = SkyCoord(ra * u.deg, dec * u.deg)
    for separation, inside in ((0.9, True), (1.1, False)):
        there = here.directional_offset_by(70 * u.deg, separation * u.arcsec)
        found = nearest([ra], [dec], [there.ra.deg], [there.dec.deg], 1.0)
        assert (found[0] == 0) == inside


def test_nothing_is_near_nothing():
    assert nearest([], [], [1.0], [2.0], 1).tolist() == []
    assert nearest([1.0], [2.0], [], [], 1).tolist() == [-1]
    assert groups_within(np.array([]), np.array([]), 1).tolist() == []


@given(SPOTS, st.floats(1, 30))
def test_groups_are_the_connected_components(spots, radius):
    ra, dec = np.array(spots).T + np.array([[359.995], [45.0]])
    sky = SkyCoord(ra % 360 * u.deg, dec * u.deg)
    near = sky[:, None].separation(sky[None, :]).arcsec <= radius
    for _ in range(len(spots)):
        near = near @ near
    assert groups_within(ra % 360, dec, radius).tolist() == near.argmax(axis=1).tolist()
