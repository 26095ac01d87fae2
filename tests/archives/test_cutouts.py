"""Cutouts of many objects: requests without weight, and images in one unit whatever the scale."""

import functools

import numpy as np
import pytest
from cutout_bodies import picture, viewer_fits
from misbehaving_server import content, status

from tuningfork.archives.cutouts import CutoutSpec, cutout_requests, fetch_cutout, has_fallback, read_cutout
from tuningfork.errors import ArchiveError, OutsideFootprint

SOUTH = CutoutSpec("legacysurvey", "ls-dr9-south", "fits", ("g", "r", "z"), 32)
SDSS = CutoutSpec("skyserver", "dr14", "jpeg", ("g", "r", "i"), 64)


def test_requests_are_made_as_they_are_looked_at():
    ra, dec = np.linspace(0, 360, 100_000, endpoint=False), np.linspace(-30, 30, 100_000)
    requests = cutout_requests(SOUTH, ra, dec, 0.262)
    assert len(requests) == 100_000
    assert requests[-1].params["dec"] == 30
    assert requests[10:20][3].params == requests[13].params
    assert len({request.key("live") for request in requests[:1000]}) == 1000
    assert cutout_requests(SDSS, [-10.0], [5.0], [0.3])[0].params == {"ra": 350.0, "dec": 5.0, "scale": 0.3, "width": 64, "height": 64}


@pytest.mark.parametrize(
    ("spec", "scale", "words"),
    [(SOUTH, [0.3, np.nan], "first index 1"), (SDSS, [0.3, 0.001], "0.015 to 2400"), (SOUTH, np.ma.masked_array([0.3, 0.3], [False, True]), "1 of 2")],
)
def test_rows_that_cannot_be_asked_are_named(spec, scale, words):
    with pytest.raises(ArchiveError, match=words):
        cutout_requests(spec, [1.0, 2.0], [1.0, 2.0], scale)


@pytest.mark.parametrize(
    "wrong",
    [
        ("skyserver", "dr14", "fits", ("g",), 64),
        ("skyserver", "dr14", "jpeg", ("g",), 32),
        ("legacysurvey", "ls-dr9", "fits", ("i",), 64),
        ("hips", "x", "fits", ("g",), 64),
    ],
)
def test_what_no_service_gives_is_refused(wrong):
    with pytest.raises(ArchiveError):
        CutoutSpec(*wrong)


@pytest.mark.parametrize("scale", [0.131, 0.262, 0.6])
def test_surface_brightness_does_not_depend_on_the_scale_asked(tmp_path, scale):
    """The viewer interpolates its surface: a sky of 2 nanomaggies per square arcsecond has the same values at every scale."""
    path = tmp_path / "reply"
    path.write_bytes(viewer_fits(np.full((3, 32, 32), 2 * 0.262**2), ra=1, dec=2, scale=scale, bands="grz"))
    found = read_cutout(path, SOUTH, scale)
    assert found.pixels.dtype == np.float32
    assert np.allclose(found.pixels, 2)
    assert (found.unit, found.covered, found.survey, found.version, found.arcsec_per_pixel) == ("nanomaggy/arcsec^2", 1, "LegacySurvey", "DR9-south", scale)


def test_the_covered_fraction_counts_pixels_seen_in_every_band(shared_data):
    spec = CutoutSpec("legacysurvey", "decals-dr5", "fits", ("g", "r", "z"), 424)
    found = read_cutout(shared_data / "responses/legacysurvey/example_bad_pix.fits", spec, 0.1302493)
    unobserved = (found.pixels == 0).mean(axis=(1, 2))
    assert found.covered < 1 - unobserved.max()
    assert unobserved == pytest.approx([0.75707547, 0.72760546, 0.0])
    assert read_cutout(shared_data / "responses/legacysurvey/example_a.fits", spec, 0.1).covered == 1


def test_a_picture_is_red_green_blue_planes(tmp_path):
    path = tmp_path / "reply"
    path.write_bytes(picture(64))
    found = read_cutout(path, SDSS, 0.3)
    assert (found.pixels.shape, found.pixels.dtype, found.unit, found.survey) == ((3, 64, 64), np.uint8, "", None)


def test_a_batch_tells_outside_from_failed(server, make_transport):
    transport = make_transport(endpoints={"skyserver": server.url})
    path = "/dr14/SkyServerWS/ImgCutout/getjpeg"
    server.on(path, content(picture(64)), status(404, picture(64)), content(picture(64)))
    requests = cutout_requests(SDSS, np.arange(3.0), np.zeros(3), 0.3)
    found = dict(transport.fetch_each(requests, names=["a", "b", "c"], progress=False))
    assert sorted(found) == [0, 1, 2]
    assert sum(isinstance(outcome, OutsideFootprint) for outcome in found.values()) == 1


def test_outside_is_an_answer_that_no_other_archive_is_asked_about(server, make_transport):
    transport = make_transport(endpoints={"legacysurvey": server.url, "datalab": server.url})
    server.on("/viewer/fits-cutout", content(viewer_fits(np.zeros((3, 32, 32)), ra=150.0, dec=2.0, scale=0.262, bands="grz")))
    with pytest.raises(OutsideFootprint):
        fetch_cutout(transport, SOUTH, 150.0, 2.0, 0.262)
    assert server.count() == 1


def test_only_images_of_dr9_have_a_second_archive():
    assert has_fallback(SOUTH, 2.0)
    assert not has_fallback(SOUTH, 33.0)
    layer = functools.partial(CutoutSpec, "legacysurvey", format="fits", bands=("g",), pixels=32)
    assert has_fallback(layer(layer="ls-dr9-north"), 60.0)
    assert not has_fallback(layer(layer="ls-dr9-north"), 20.0)
    assert not has_fallback(layer(layer="ls-dr9-model"), 2.0)
    assert not has_fallback(CutoutSpec("legacysurvey", "ls-dr9-south", "jpeg", ("g", "r", "z"), 32), 2.0)
