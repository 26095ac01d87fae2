"""Guo et al. (2013): sexagesimal positions and the H band as magnitude or as flux."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork.catalogues import guo2013
from tuningfork.errors import CatalogueError


def raw():
    return Table(
        {
            "Seq": [1, 2, 3],
            "RAJ2000": ["03 32 16.9870", "03:32:20.5008", ""],
            "DEJ2000": ["-27 44 59.640", "-27:41:34.02", ""],
            "Hmag": [22.5, -99.0, 99.0],
            "e_Hmag": [0.1, 0.2, 0.3],
            "Q": [0, 1, 0],
            "S/G": [0.03, 0.98, 0.5],
            "FWHM": [5.0, 2.0, 3.0],
        }
    )


def test_sexagesimal_positions_become_degrees():
    made = guo2013.standardise(raw())
    expected = SkyCoord(["03h32m16.9870s", "03h32m20.5008s"], ["-27d44m59.640s", "-27d41m34.02s"])
    np.testing.assert_allclose(np.asarray(made["ra"])[:2], expected.ra.deg, atol=1e-9)
    np.testing.assert_allclose(np.asarray(made["dec"])[:2], expected.dec.deg, atol=1e-9)
    assert np.ma.is_masked(made["ra"][2])


def test_there_is_no_petrosian_radius():
    made = guo2013.standardise(raw())
    assert set(made["petrosian_flag"]) == {"none"} and np.ma.asarray(made["petrosian_radius_arcsec"]).count() == 0


def test_optional_shapes_are_kept_or_unknown():
    made = guo2013.standardise(raw())
    assert made["class_star"][1] == 0.98 and made["flags"][1] == 1 and np.ma.asarray(made["kron_radius"]).count() == 0
    assert np.ma.asarray(made["mag_f160w"]).count() == 1 and np.ma.asarray(made["mag_err_f160w"]).count() == 1


def test_flux_in_microjansky_is_an_ab_magnitude():
    table = raw()
    table.remove_columns(["Hmag", "e_Hmag"])
    table["WFC3_F160W_FLUX"] = [3.631, 0.0, -1.0]
    table["WFC3_F160W_FLUXERR"] = [0.3631, 0.1, 0.1]
    made = guo2013.standardise(table)
    assert made["mag_f160w"][0] == pytest.approx((3.631 * u.uJy).to_value(u.ABmag), abs=2e-4)
    assert made["mag_err_f160w"][0] == pytest.approx(0.10857, abs=1e-4)
    assert np.ma.asarray(made["mag_f160w"]).count() == 1


def test_neither_magnitude_nor_flux_is_an_error():
    table = raw()
    table.remove_columns(["Hmag", "e_Hmag"])
    with pytest.raises(CatalogueError, match="J/ApJS/207/24: no column 'Hmag'"):
        guo2013.standardise(table)


def test_an_angle_that_is_none_is_an_error():
    table = raw()
    table["RAJ2000"] = ["here", "03 32 20", "03 32 21"]
    with pytest.raises(CatalogueError, match="sexagesimal"):
        guo2013.standardise(table)


@given(st.floats(-89.99, 89.99))
@settings(deadline=None)
def test_declinations_keep_their_sign(dec):
    text = SkyCoord(0 * u.deg, dec * u.deg).dec.to_string(unit=u.deg, sep=" ", precision=6, alwayssign=True)
    assert guo2013.degrees(np.array([text]), hours=False)[0] == pytest.approx(dec, abs=1e-8)
