"""The Data Lab's pieces of bricks: names of bricks, the comma that must stay raw, and pixels laid on the viewer's grid."""

import io
import urllib.parse

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from misbehaving_server import Handler, chunked, content, reply, status

from tuningfork.archives import datalab
from tuningfork.archives.cutouts import CutoutSpec, cutout_requests, fetch_cutout
from tuningfork.archives.images import observed
from tuningfork.errors import ArchiveError, OutsideFootprint

SPEC = CutoutSpec("legacysurvey", "ls-dr9", "fits", ("g", "r"), 48)


def sky(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """A smooth sky in nanomaggies per square arcsecond: a slope and a galaxy at (150.003, 2.001)."""
    east, north = (ra - 150.003) * np.cos(np.radians(2.0)) * 3600, (dec - 2.001) * 3600
    return 1 + 0.01 * east + 5 * np.exp(-(east**2 + north**2) / 2 / 2.0**2)


class Bricks:
    """Cuts pieces out of bricks as the service does: on the brick's own grid, without Content-Length."""

    def __init__(self, *, unseen: tuple[str, ...] = (), packed: bool = False, narrow: bool = False) -> None:
        self.unseen, self.packed, self.narrow, self.asked = unseen, packed, narrow, []

    def __call__(self, handler: Handler) -> None:
        query = urllib.parse.urlsplit(handler.path).query
        form = dict(urllib.parse.parse_qsl(query))
        ra, dec = (float(v) for v in form["POS"].split(","))
        if "%2C" in query:
            return reply(handler, 200, b"\0" * (datalab.MAX_BYTES + 1))
        brick = form["siaRef"].split("-")[1]
        self.asked.append(form["siaRef"])
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crpix, wcs.wcs.cd = ["RA---TAN", "DEC--TAN"], [1800.5, 1800.5], np.diag([-0.262, 0.262]) / 3600
        wcs.wcs.crval = centre_of(brick)
        x, y = wcs.all_world2pix(ra, dec, 0)
        half = float(form["SIZE"]) * 1800 / 0.262 / (3 if self.narrow else 1)
        x0, x1 = (int(np.clip(round(float(x + s * half)), 0, 3600)) for s in (-1, 1))
        y0, y1 = (int(np.clip(round(float(y + s * half)), 0, 3600)) for s in (-1, 1))
        if x0 == x1 or y0 == y1:
            return reply(handler, 500, b"no overlap")
        grid = np.mgrid[y0:y1, x0:x1]
        image = sky(*wcs.all_pix2world(grid[1], grid[0], 0)) * 0.262**2 * (0 if brick in self.unseen else 1)
        header = wcs[y0:y1, x0:x1].to_header()
        hdus = (
            [fits.PrimaryHDU(), fits.CompImageHDU(image.astype(np.float32), header, "RICE_1", quantize_level=-1e-5)]
            if self.packed
            else [fits.PrimaryHDU(image.astype(np.float32), header)]
        )
        file = io.BytesIO()
        fits.HDUList(hdus).writeto(file)
        return chunked(file.getvalue())(handler)


def centre_of(name: str) -> tuple[float, float]:
    """Centre of a brick, found by its name among its neighbours."""
    for ra in np.arange(149.0, 151.0, 0.02):
        for dec in (1.75, 2.0, 2.25, 40.0):
            if str(datalab.brick_name(ra, dec)) == name:
                row, column = datalab.brick_at(ra, dec)
                return (column + 0.5) * 360 / datalab.brick_columns()[row], -90 + 0.25 * row
    raise AssertionError(name)


@pytest.fixture
def lab(server, make_transport):
    return make_transport(endpoints={"legacysurvey": server.url, "datalab": server.url})


def test_the_grid_is_that_of_the_surveys_own_table(shared_data):
    row = Table.read(shared_data / "responses/legacysurvey/survey-bricks.fits.gz")[0]
    assert datalab.brick_columns().sum() == 662_174
    for ra, dec in ((row["ra"], row["dec"]), (row["ra1"] + 1e-9, row["dec1"] + 1e-9), (row["ra2"] - 1e-9, row["dec2"] - 1e-9)):
        assert str(datalab.brick_name(ra, dec)) == row["brickname"].decode() if isinstance(row["brickname"], bytes) else row["brickname"]
        assert datalab.brick_id(ra, dec) == row["brickid"]
        assert tuple(int(v) for v in datalab.brick_at(ra, dec)) == (row["brickrow"], row["brickcol"])
    assert datalab.brick_id(row["ra2"] + 1e-9, row["dec"]) == row["brickid"] + 1
    assert datalab.brick_name([0.1, 0.1], [0.0, -0.25]).tolist() == ["0001p000", "0001m002"]


@given(st.floats(0, 360, exclude_max=True), st.floats(-90, 90))
def test_every_position_lies_in_the_brick_that_its_name_says(ra, dec):
    name, (row, column) = str(datalab.brick_name(ra, dec)), datalab.brick_at(ra, dec)
    columns = int(datalab.brick_columns()[row])
    centre_ra, centre_dec = (int(column) + 0.5) * 360 / columns, -90 + 0.25 * int(row)
    assert abs(dec - centre_dec) <= 0.125 + 1e-9
    assert abs(ra - centre_ra) <= 180 / columns + 1e-9
    assert 360 / columns * np.cos(np.radians(abs(centre_dec) - 0.125)) <= 0.25 + 1e-9 or columns == 1
    assert -1e-4 < centre_ra - int(name[:4]) / 10 < 0.1
    assert abs(abs(centre_dec) - int(name[5:]) / 10) < 0.1
    assert (name[4] == "m") == (centre_dec < 0)


@given(st.floats(0, 360, exclude_max=True), st.floats(-80, 80), st.floats(0.001, 0.2))
def test_the_bricks_of_a_square_hold_all_of_it(ra, dec, side):
    names = datalab.bricks_touching(ra, dec, side)
    assert names[0] == str(datalab.brick_name(ra, dec))
    if len(names) > 1:
        east = np.linspace(-side / 2, side / 2, 7)
        for north in east:
            assert set(datalab.brick_name((ra + east / np.cos(np.radians(dec + north))) % 360, np.full(7, dec + north)).tolist()) <= set(names)


def test_the_comma_travels_raw(server, lab):
    server.on(datalab.PATH, Bricks())
    lab.fetch_request(datalab.cutout_request("1501p020", "g", 150.0, 2.0, 0.01))
    assert "POS=150,2&" in server.seen[0].target
    assert "siaRef=legacysurvey-1501p020-image-g.fits.fz" in server.seen[0].target


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("scale", [0.262, 0.131, 0.6])
def test_the_viewer_being_down_the_same_surface_comes_from_the_bricks(server, lab, packed, scale):
    bricks = Bricks(packed=packed)
    server.on("/viewer/fits-cutout", status(503))
    server.on(datalab.PATH, bricks)
    found = fetch_cutout(lab, SPEC, 150.003, 2.001, scale)
    assert (found.unit, found.covered, found.survey, found.version) == ("nanomaggy/arcsec^2", 1, "LegacySurvey", "DR9-south")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crpix, wcs.wcs.cd, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [24.5, 24.5], np.diag([-scale, scale]) / 3600, [150.003, 2.001]
    grid = np.mgrid[:48, :48]
    assert found.pixels[0] == pytest.approx(sky(*wcs.all_pix2world(grid[1], grid[0], 0)), abs=0.001 if scale < 0.3 else 0.06)
    assert sorted(bricks.asked) == [f"legacysurvey-1501p020-image-{band}.fits.fz" for band in "gr"]


def test_a_square_across_a_brick_border_is_one_image(server, lab):
    row, column = datalab.brick_at(150.003, 2.001)
    border = float((column + 1) * 360 / datalab.brick_columns()[row])
    bricks = Bricks()
    server.on(datalab.PATH, bricks)
    planes, _ = datalab.cutout(lab, "ls-dr9", border - 0.001, 2.12, 0.262, 200, ("g",))
    assert len(bricks.asked) == 4
    assert observed(planes).all()
    assert np.abs(np.diff(planes[0], axis=1) + 0.01 * 0.262).max() < 1e-3
    server.on(datalab.PATH, Bricks(unseen=tuple({ref.split("-")[1] for ref in bricks.asked[1:]})))
    planes, _ = datalab.cutout(lab, "ls-dr9", border - 0.001, 2.121, 0.262, 300, ("g",))
    assert 0.3 < observed(planes).mean() < 0.9


def test_places_and_layers_without_pixels(server, lab):
    server.on(datalab.PATH, Bricks(unseen=("1501p020",)))
    with pytest.raises(OutsideFootprint):
        datalab.cutout(lab, "ls-dr9", 150.003, 2.001, 0.262, 32, ("g",))
    server.on(datalab.PATH, status(404))
    with pytest.raises(OutsideFootprint):
        datalab.cutout(lab, "ls-dr9", 150.003, 2.002, 0.262, 32, ("g",))
    for layer, dec, size in (("ls-dr9-north", 2.0, 32), ("ls-dr10", 2.0, 32), ("ls-dr9", 33.0, 32), ("ls-dr9", 2.0, 3000)):
        with pytest.raises(ArchiveError, match=r"the Data Lab has no pixels|more than a brick"):
            datalab.cutout(lab, layer, 150.0, dec, 0.4, size, ("g",))


def test_pieces_that_are_wrong_are_refused(server, lab):
    server.on(datalab.PATH, Bricks(narrow=True))
    with pytest.raises(ArchiveError, match="less than was asked"):
        datalab.cutout(lab, "ls-dr9", 150.003, 2.001, 0.262, 64, ("g",))
    for body in (b"<html>maintenance</html>", fits.PrimaryHDU().header.tostring().encode(), b""):
        server.on(datalab.PATH, content(body))
        with pytest.raises(ArchiveError):
            datalab.cutout(lab, "ls-dr9", 150.003, 2.0 + len(body) * 1e-6, 0.262, 64, ("g",))


def test_when_nobody_answers_the_error_says_so(server, lab):
    server.on("/viewer/fits-cutout", status(503))
    server.on(datalab.PATH, status(503))
    with pytest.raises(ArchiveError, match="datalab"):
        fetch_cutout(lab, SPEC, 150.003, 2.001, 0.262)
    assert cutout_requests(SPEC, 1, 2, 0.262)[0].archive == "legacysurvey"
