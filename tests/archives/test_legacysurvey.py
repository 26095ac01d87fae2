"""The Legacy Surveys viewer: what is asked, and which of its many replies is the image that was asked."""

import functools
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
from cutout_bodies import picture, viewer_fits
from misbehaving_server import content, cut, status

from tuningfork.archives import legacysurvey
from tuningfork.archives.checks import BadReply
from tuningfork.archives.layers import LAYERS, band_letters, layer_named
from tuningfork.errors import ArchiveError, OutsideFootprint

FITS, JPEG = "/viewer/fits-cutout", "/viewer/jpeg-cutout"
RA, DEC, SIDE = 150.1, 2.2, 32
DJANGO = b"\n<!doctype html>\n<html><head><title>Server Error (500)</title></head><body><h1>Server Error (500)</h1></body></html>"

pixels = np.random.default_rng(0).normal(size=(3, SIDE, SIDE)).astype(np.float32)
body = functools.partial(viewer_fits, ra=RA, dec=DEC, scale=0.262, bands="grz")


@pytest.fixture
def viewer(server, make_transport):
    return make_transport(endpoints={"legacysurvey": server.url})


def request(layer: str = "ls-dr9-south", kind: str = "fits", **other):
    return legacysurvey.cutout_request(
        **{"layer": layer, "ra": RA, "dec": DEC, "arcsec_per_pixel": 0.262, "pixels": SIDE, "bands": ("g", "r", "z"), "format": kind, **other}
    )


@pytest.mark.parametrize(("name", "ra", "dec", "scale"), [("a", 146.714208787, -1.04128156958, 0.1), ("bad_pix", 147.456742041, 1.09255093644, 0.1302493)])
def test_recorded_cutouts_pass_as_what_they_are(shared_data, name, ra, dec, scale):
    path = shared_data / f"responses/legacysurvey/example_{name}.fits"
    check = functools.partial(legacysurvey.check_fits_cutout, path, letters="grz", pixels=424)
    check(layer=LAYERS["decals-dr5"], arcsec_per_pixel=scale, ra=ra, dec=dec)
    with pytest.raises(BadReply, match="VERSION"):
        check(layer=LAYERS["ls-dr9-south"], arcsec_per_pixel=scale, ra=ra, dec=dec)
    with pytest.raises(BadReply, match="a pixel of"):
        check(layer=LAYERS["decals-dr5"], arcsec_per_pixel=0.262, ra=ra, dec=dec)
    with pytest.raises(BadReply, match="in the middle"):
        check(layer=LAYERS["decals-dr5"], arcsec_per_pixel=scale, ra=ra, dec=dec + 1e-4)


def test_a_cutout_is_asked_as_the_viewer_reads_it(server, viewer):
    server.on(FITS, content(body(pixels), "image/fits"))
    viewer.fetch_request(request())
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(server.seen[0].target).query))
    assert asked == {"layer": "ls-dr9-south", "ra": "150.1", "dec": "2.2", "pixscale": "0.262", "size": "32", "bands": "grz"}


def test_requests_with_a_plus_in_the_layer_are_encoded(server, viewer):
    server.on(FITS, content(body(pixels, version="DR6"), "image/fits"))
    viewer.fetch_request(request("mzls+bass-dr6"))
    assert "layer=mzls%2Bbass-dr6" in server.seen[0].target


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (body(pixels, bands="gri"), "bands 'gri'"),
        (body(pixels[:2], bands="gr"), "bands 'gr' in 2 planes"),
        (body(pixels[:, :30, :30]), "30 x 30 pixels, where 32 x 32"),
        (body(pixels, IMAGEW=30.0), "pixels, where 32 x 32"),
        (body(pixels, version="DR9-north"), "VERSION = 'DR9-north'"),
        (body(pixels, ra=RA + 0.01), "in the middle"),
        (body(pixels, scale=0.5), "a pixel of 0.5"),
        (b"no such layer", "has no layer 'ls-dr9-south'"),
    ],
)
def test_another_image_than_asked_is_refused_once(server, viewer, reply, words):
    server.on(FITS, content(reply, "image/fits"))
    with pytest.raises(ArchiveError, match=words):
        viewer.fetch_request(request())
    assert server.count() == 1


@pytest.mark.parametrize(
    "behaviour", [cut(body(pixels), 5000), content(body(pixels)[:-2880]), content(b"<!doctype html><title>NERSC is down</title>"), status(503), status(429)]
)
def test_faults_of_the_moment_pass(server, viewer, behaviour):
    server.on(FITS, behaviour, content(body(pixels), "image/fits"))
    assert viewer.fetch_request(request()).path.read_bytes() == body(pixels)
    assert server.count() == 2


def test_bands_in_another_order_are_put_in_order(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(body(pixels[::-1], bands="zrg"))
    layer = LAYERS["ls-dr9-south"]
    legacysurvey.check_fits_cutout(path, layer=layer, letters="grz", pixels=SIDE, arcsec_per_pixel=0.262, ra=RA, dec=DEC)
    _, planes = legacysurvey.read_fits_cutout(path, layer, "grz")
    assert np.allclose(planes * 0.262**2, pixels)


def test_one_band_is_a_plain_image(tmp_path, server, viewer):
    server.on(FITS, content(body(pixels[0], bands="r"), "image/fits"))
    found = viewer.fetch_request(request(bands=("r",)))
    assert legacysurvey.read_fits_cutout(found.path, LAYERS["ls-dr9-south"], "r")[1].shape == (1, SIDE, SIDE)


@pytest.mark.parametrize(
    ("behaviours", "times"),
    [
        ([content(body(0 * pixels), "image/fits")], 1),
        ([status(500, b"<html>NoOverlapError at /viewer/fits-cutout</html>")], 1),
        ([status(500, DJANGO)], 2),
    ],
)
def test_a_place_without_image_is_outside_the_footprint(server, viewer, behaviours, times):
    server.on(FITS, *behaviours)
    with pytest.raises(OutsideFootprint):
        viewer.fetch_request(request())
    assert server.count() == times


def test_a_generic_500_once_is_not_the_end(server, viewer):
    server.on(FITS, status(500, DJANGO), content(body(pixels), "image/fits"))
    assert viewer.fetch_request(request()).path.exists()


@pytest.mark.parametrize(
    "words", [b"<html><h1>500 Internal Server Error</h1><hr>nginx</html>", b"Internal Server Error", b"<html>OperationalError: database</html>"]
)
def test_failures_of_the_machinery_are_no_footprint(server, viewer, words):
    server.on(FITS, status(500, words))
    with pytest.raises(ArchiveError) as caught:
        viewer.fetch_request(request())
    assert not isinstance(caught.value, OutsideFootprint)
    assert server.count() == 3


def test_pictures_are_judged_too(server, viewer):
    server.on(JPEG, content(picture(SIDE), "image/jpeg"))
    assert viewer.fetch_request(request(kind="jpeg")).path.exists()
    for reply, error, words in (
        (picture(SIDE, uniform=True), OutsideFootprint, "one colour"),
        (picture(16), ArchiveError, "16 x 16"),
        (b"no such layer", ArchiveError, "no layer"),
    ):
        server.on(JPEG, content(reply, "image/jpeg"))
        with pytest.raises(error, match=words):
            viewer.fetch_request(request(kind="jpeg", dec=DEC + len(words)))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"layer": "ls-dr9-soth"}, "did you mean ls-dr9-south"),
        ({"bands": ("g", "r", "i")}, "has no band 'i'"),
        ({"bands": ("g", "g")}, "once"),
        ({"bands": ()}, "none"),
        ({"pixels": 3001}, "1 to 3000"),
        ({"format": "png"}, "not 'png'"),
        ({"dec": 91.0}, "dec 91"),
        ({"arcsec_per_pixel": float("nan")}, "scale above 0"),
    ],
)
def test_what_the_viewer_would_silently_change_is_refused_unasked(wrong, words):
    with pytest.raises(ArchiveError, match=words):
        request(**wrong)


def test_aliases_and_letters():
    assert layer_named("hsc").name == "hsc-dr2"
    assert layer_named("dr8-south").name == "ls-dr8-south"
    assert band_letters(layer_named("unwise-neo7"), ("w2", "w1")) == band_letters(layer_named("unwise-neo7"), ("2", "1")) == "21"


def test_surface_brightness_of_each_calibration(tmp_path: Path):
    """A source of 1 nanomaggy per square arcsecond, as each layer would write it."""
    for name, value in (("ls-dr9-south", 0.262**2), ("des-dr1", 0.263**2), ("hsc-dr2", 0.168**2 * 10 ** (0.4 * 4.5))):
        assert layer_named(name).surface_brightness * value == pytest.approx(1.0)
