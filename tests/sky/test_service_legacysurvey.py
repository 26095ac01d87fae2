"""The stand-in of the Legacy viewer over real HTTP: every row of the table of its habits, and its files against recorded ones."""

import io

import numpy as np
import pytest
import requests
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_surveys import TinySky

from tuningfork.sky.server import serve_services
from tuningfork.sky.services.cutout_fits import cutout_file, number
from tuningfork.sky.services.legacysurvey import LegacySurvey, zero_level
from tuningfork.sky.wide.surveys import LAYERS


@pytest.fixture(scope="module")
def sky():
    return TinySky()


@pytest.fixture(scope="module")
def viewer(sky):
    with serve_services({"legacysurvey": LegacySurvey(sky)}) as endpoints:
        yield endpoints["legacysurvey"] + "/viewer"


def get(viewer, form="fits-cutout", **parameters):
    return requests.get(f"{viewer}/{form}", params={"ra": 150.1, "dec": 2.2, "size": 16, **parameters}, timeout=20)


def cards_of(body):
    end = body.index(b"END" + b" " * 77) + 80
    return [body[i : i + 80].decode() for i in range(0, end, 80)]


def test_the_header_is_the_recorded_one_card_by_card(shared_data):
    for name in ("example_a.fits", "example_bad_pix.fits"):
        recorded = (shared_data / "responses" / "legacysurvey" / name).read_bytes()
        with fits.open(io.BytesIO(recorded)) as hdus:
            header, image = hdus[0].header, hdus[0].data
            made = cutout_file(image, survey="DECaLS", version="DR3", bands="grz", ra=header["CRVAL1"], dec=header["CRVAL2"], pixscale=header["CD2_2"] * 3600)
        *ours, simulate, end = cards_of(made)
        *theirs, last = cards_of(recorded)
        assert simulate.startswith("SIMULATE=                    T") and end == last
        assert ours == theirs
        assert len(made) == len(recorded) == 2_162_880
        assert made[2880:] == recorded[2880:]


@pytest.mark.parametrize(
    ("value", "text"), [(424.0, "424."), (0.0, "0."), (212.5, "212.5"), (-0.1 / 3600, "-2.77777777777778E-05"), (1e-5, "1.E-05"), (1e20, "1.E+20")]
)
def test_numbers_are_spelt_as_cfitsio_does(value, text):
    assert number(value) == text


@given(st.floats(-1e300, 1e300))
def test_any_number_has_a_point_and_reads_back(value):
    text = number(value)
    assert "." in text and float(text) == pytest.approx(value, rel=1e-14)


def test_a_cutout_has_the_cards_and_headers_of_the_viewer(viewer, sky):
    reply = get(viewer, layer="ls-dr9-south", width=24, height=12, pixscale=0.5)
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "image/fits")
    assert reply.headers["Content-Disposition"] == 'attachment; filename="cutout_150.1000_2.2000.fits"'
    assert "Expires" in reply.headers and "Last-Modified" in reply.headers and "ETag" not in reply.headers
    assert reply.headers["X-Simulated"] == "true"
    with fits.open(io.BytesIO(reply.content)) as hdus:
        header, data = hdus[0].header, hdus[0].data
    assert (header["SURVEY"], header["VERSION"], header["BANDS"], header["BAND2"]) == ("LegacySurvey", "DR9-south", "grz", "z")
    assert (header["IMAGEW"], header["IMAGEH"]) == (24, 12) and header["SIMULATE"] is True
    assert b"IMAGEW  =                  24. / Image width" in reply.content
    assert data.shape == (3, 12, 24)
    np.testing.assert_array_equal(data, sky.image("ls-dr9-south", 150.1, 2.2, arcsec_per_pixel=0.5, width=24, height=12, bands=("g", "r", "z")))
    ra, dec = WCS(header).celestial.all_pix2world((24 - 1) / 2, (12 - 1) / 2, 0)
    assert (ra, dec) == (pytest.approx(150.1), pytest.approx(2.2))


def test_conditional_requests_are_answered_whole(viewer):
    assert get(viewer).status_code == 200
    again = requests.get(f"{viewer}/fits-cutout?ra=150&dec=2&size=8", headers={"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, timeout=20)
    assert again.status_code == 200


@pytest.mark.parametrize("parameters", [{"ra": None}, {"dec": None}, {"ra": "north"}, {"dec": "1d"}])
def test_without_a_place_it_is_400_text(viewer, parameters):
    reply = get(viewer, **parameters)
    assert (reply.status_code, reply.text) == (400, "Need ra,dec keywords")


def test_an_unknown_layer_is_text_with_status_200(viewer):
    for form in ("fits-cutout", "jpeg-cutout"):
        reply = get(viewer, form, layer="ls-dr99")
        assert (reply.status_code, reply.text) == (200, "no such layer")


@pytest.mark.parametrize(
    ("parameters", "asked"),
    [({"size": None}, (256, 256)), ({"size": 5000}, (3000, 3000)), ({"size": 100, "width": 20}, (20, 100)), ({"size": None, "height": 30}, (256, 30)),
     ({"width": 4000, "height": 10}, (3000, 10))],
)  # fmt: skip
def test_sizes_have_defaults_and_are_silently_clamped(viewer, sky, parameters, asked):
    assert get(viewer, bands="g", **parameters).status_code == 200
    assert (sky.asked[-1]["width"], sky.asked[-1]["height"]) == asked


@pytest.mark.parametrize(
    ("layer", "zoom", "scale"),
    [
        ("ls-dr9", 14, 0.262),
        ("ls-dr9", 15, 0.131),
        ("des-dr1", 15, 0.1315),
        ("hsc2", 15, 0.084),
        ("sdss", 13, 0.396),
        ("sdss", 12, 0.792),
        ("sdss", None, 0.396),
    ],
)
def test_zoom_counts_where_there_is_no_pixscale(viewer, sky, layer, zoom, scale):
    assert get(viewer, layer=layer, zoom=zoom).status_code == 200
    assert sky.asked[-1]["scale"] == pytest.approx(scale)
    assert get(viewer, layer=layer, zoom=zoom, pixscale=0.3).status_code == 200
    assert sky.asked[-1]["scale"] == 0.3


@pytest.mark.parametrize(
    "parameters",
    [
        {"pixscale": "x"},
        {"zoom": "1.5"},
        {"size": "big"},
        {"width": "1e2"},
        {"pixscale": 0},
        {"invvar": ""},
        {"subimage": "1"},
        {"rotate": 30},
        {"pixscale": 900, "size": 3000},
    ],
)
def test_what_the_viewer_cannot_read_is_a_page_of_500(viewer, parameters):
    reply = get(viewer, **parameters)
    assert reply.status_code == 500 and "<h1>Server Error (500)</h1>" in reply.text


@pytest.mark.parametrize(
    ("layer", "bands", "given"),
    [
        ("ls-dr9", None, "grz"),
        ("ls-dr9", "zr", "zr"),
        ("ls-dr9", "gri", "grz"),
        ("ls-dr9", "x", "grz"),
        ("sdss", None, "gri"),
        ("sdss", "u", "u"),
        ("unwise-neo7", "12", "12"),
    ],
)
def test_unknown_bands_are_silently_the_default_ones(viewer, layer, bands, given):
    reply = get(viewer, layer=layer, bands=bands)
    header = fits.getheader(io.BytesIO(reply.content))
    assert header["BANDS"] == given and header["NAXIS"] == (3 if len(given) > 1 else 2)


def test_aliases_of_layers_and_paths(viewer, sky):
    for layer, name in (("sdss2", "sdss"), ("hsc", "hsc-dr2"), ("dr8", "ls-dr8-south"), ("ls-dr9", "ls-dr9-south")):
        assert get(viewer, layer=layer).status_code == 200
        assert sky.asked[-1]["layer"] == name
    assert get(viewer, "cutout.fits").content[:6] == b"SIMPLE" and get(viewer, "cutout.jpg").content[:3] == b"\xff\xd8\xff"
    assert get(viewer, "fits-cutout/").status_code == 200 and get(viewer, "nothing").status_code == 404


def test_merged_layers_change_telescopes_at_their_declination(viewer):
    versions = [fits.getheader(io.BytesIO(get(viewer, layer="ls-dr9", dec=dec).content))["VERSION"] for dec in (32.37, 32.38)]
    assert versions == ["DR9-south", "DR9-north"]


def test_without_bricks_fits_fail_and_pictures_are_grey(viewer):
    reply = get(viewer, ra=210)
    assert reply.status_code == 500 and reply.headers["Content-Type"].startswith("text/html")
    picture = get(viewer, "jpeg-cutout", ra=210)
    assert picture.status_code == 200
    pixels = np.asarray(Image.open(io.BytesIO(picture.content)))
    assert pixels.shape == (16, 16, 3) and np.all(pixels == 32)
    assert (zero_level(0.03), zero_level(LAYERS["sdss"].black)) == (32, 22)


def test_unobserved_places_are_exactly_zero(viewer):
    data = fits.getdata(io.BytesIO(get(viewer, ra=195).content))
    assert data.shape == (3, 16, 16) and not data.any()


def test_pictures_are_of_quality_90_with_a_mark(viewer):
    reply = get(viewer, "jpeg-cutout", size=64)
    image = Image.open(io.BytesIO(reply.content))
    oracle = io.BytesIO()
    Image.new("RGB", (16, 16)).save(oracle, "JPEG", quality=90)
    assert image.quantization == Image.open(oracle).quantization
    assert image.info["comment"].startswith(b"SIMULATED") and "progressive" not in image.info
    assert "Content-Disposition" not in reply.headers and "ETag" not in reply.headers
