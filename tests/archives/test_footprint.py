"""Footprints: recorded coverage maps of CDS, of space and of space and time."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from misbehaving_server import content
from mocpy import MOC

from tuningfork.archives.footprint import footprint_request, inside, read_moc
from tuningfork.errors import ArchiveError


@pytest.fixture(scope="module")
def positions() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(0, 360, 50_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 50_000)))


@pytest.mark.parametrize(("name", "fraction"), [("P-SDSS9-r", 0.3624), ("P-GALEXGR6-AIS-FUV", 0.6821), ("STMoc-DECaLS-g", 0.1968)])
def test_recorded_maps_hold_their_share_of_the_sky(shared_data, positions, name, fraction):
    path = shared_data / f"responses/footprints/{name}.fits"
    assert read_moc(path).sky_fraction == pytest.approx(fraction, abs=1e-4)
    assert inside(path, *positions).mean() == pytest.approx(fraction, abs=0.01)


def test_known_places(shared_data):
    """The Coma cluster and the Galactic centre, for SDSS; COSMOS and the north pole, for DECaLS."""
    folder = shared_data / "responses/footprints"
    assert inside(folder / "P-SDSS9-r.fits", [194.95, 266.4], [27.98, -29.0]).tolist() == [True, False]
    assert inside(folder / "STMoc-DECaLS-g.fits", [150.1, 0.0], [2.2, 89.0]).tolist() == [True, False]


def test_a_disc_made_by_hand(tmp_path):
    path = tmp_path / "disc.fits"
    MOC.from_cone(lon=359.9 * u.deg, lat=10 * u.deg, radius=1 * u.deg, max_depth=10).save(path, "fits")
    ra = np.ma.masked_array([359.9, 0.5, -0.1, 2.0, np.nan, 359.9], [False] * 5 + [True])
    assert inside(path, ra, np.full(6, 10.0)).tolist() == [True, True, True, False, False, False]
    assert inside(path, [], []).shape == (0,)
    assert not inside(path, [1.0], [95.0]).any()


def test_other_files_are_refused_by_name(tmp_path):
    path = tmp_path / "table.fits"
    Table({"a": [1, 2]}).write(path)
    with pytest.raises(ArchiveError, match=r"table\.fits is no coverage map"):
        inside(path, [1.0], [1.0])
    path.write_bytes(b"text")
    with pytest.raises(ArchiveError, match="no FITS file"):
        inside(path, [1.0], [1.0])
    galactic = tmp_path / "galactic.fits"
    MOC.from_cone(lon=0 * u.deg, lat=0 * u.deg, radius=1 * u.deg, max_depth=5).save(galactic, "fits")
    with fits.open(galactic, mode="update") as hdus:
        hdus[1].header["COORDSYS"] = "G"
    with pytest.raises(ArchiveError, match="frame 'G'"):
        inside(galactic, [1.0], [1.0])


def test_footprints_are_fetched_where_they_are_known(server, make_transport, shared_data):
    assert footprint_request("ls-dr9-mid") is None
    assert footprint_request("dr14").params["ID"] == footprint_request("sdss2").params["ID"]
    server.on("/MocServer/query", content((shared_data / "responses/footprints/P-SDSS9-r.fits").read_bytes()))
    transport = make_transport(endpoints={"cds": server.url})
    assert inside(transport.fetch_request(footprint_request("dr14")).path, [194.95], [27.98]).all()
    server.on("/MocServer/query", content(b"no such data set"))
    with pytest.raises(ArchiveError):
        transport.fetch_request(footprint_request("hsc"))
