"""Pictures of the wide sky: the same light and noise wherever and however one looks, fluxes and sharpness as the survey's, zeros where it did not look."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy.wcs import WCS

from tuningfork.sky.wide.grid import Frame, missing
from tuningfork.sky.wide.image import WideSky, read_parts, write_parts
from tuningfork.sky.wide.parts import PART, POINT, new_parts
from tuningfork.sky.wide.surveys import ALL_BANDS, LAYERS, NORTH_SOUTH, layer_at

PLACES = {
    "sdss": (150.0, 20.0),
    "des-dr1": (30.0, -30.0),
    "hsc-dr2": (150.0, 1.0),
    "ls-dr9-south": (150.0, 20.0),
    "ls-dr9-north": (150.0, 50.0),
    "unwise-neo7": (150.0, 20.0),
}


def sky_of(*parts: np.ndarray, seed: int = 1) -> WideSky:
    return WideSky(np.concatenate(parts) if parts else np.zeros(0, PART), seed, field_objects=False)


def star(ra: float, dec: float, flux: float = 1000.0) -> np.ndarray:
    return new_parts(np.array([ra]), np.array([dec]), np.full((1, len(ALL_BANDS)), flux), shape=POINT)


def galaxy(ra: float, dec: float, flux: np.ndarray, **columns: float) -> np.ndarray:
    return new_parts(np.array([ra]), np.array([dec]), flux[None], **columns)


@pytest.mark.parametrize("layer", PLACES)
def test_stars_have_the_seeing_and_the_flux_of_the_survey(layer: str) -> None:
    ra, dec = PLACES[layer]
    survey = LAYERS[layer]
    scale = 0.2 * min(survey.fwhm.values())
    image = sky_of(star(ra, dec, 2e4)).image(layer, ra, dec, arcsec_per_pixel=scale, width=141, height=141, bands=survey.bands)
    assert image is not None and image.dtype == np.float32 and image.shape == (len(survey.bands), 141, 141)
    distance = np.hypot(*np.mgrid[-70:71, -70:71]) * scale
    for plane, band in zip(image / [[[survey.calibration.get(b, 1.0)]] for b in survey.bands], survey.bands, strict=True):
        half = np.sqrt((plane > plane.max() / 2).sum() / np.pi) * scale
        assert 2 * half == pytest.approx(survey.fwhm[band], rel=0.08)
        total = plane[distance < 10 * scale * 7].sum() * (scale / survey.pixscale) ** 2
        # an equal flux in all bands has colour 0: what is left of the pass-band difference is its constant
        expected = 2e4 * 10 ** (-0.4 * survey.colour_term.get(band, ("", "", 0.0, 0.0))[3])
        assert total == pytest.approx(expected, rel=0.02)


def test_a_galaxy_has_the_same_flux_in_every_survey_but_for_colour_terms() -> None:
    ra, dec = 150.0, 32.2  # SDSS, DECaLS and BASS+MzLS all look here
    flux = np.array([120.0, 300.0, 500.0, 650.0, 780.0, 850.0, 600.0, 400.0])
    sky = sky_of(galaxy(ra, dec, flux, n=1.0, radius=3.0, q=0.6, pa=0.5))
    measured = {}
    for layer in ("sdss", "ls-dr9-south", "ls-dr9-north"):
        survey = LAYERS[layer]
        image = sky.image(layer, ra, dec, arcsec_per_pixel=survey.pixscale, width=201, height=201, bands=("g", "r", "z"))
        assert image is not None
        distance = np.hypot(*np.mgrid[-100:101, -100:101]) * survey.pixscale
        measured[layer] = image[:, distance < 16].sum(axis=1)
        assert measured[layer] == pytest.approx(survey.fluxes(flux[None], ("g", "r", "z"))[0], rel=0.02)
    assert measured["sdss"] == pytest.approx(flux[[1, 2, 4]], rel=0.02)
    difference = -2.5 * np.log10(measured["ls-dr9-south"] / measured["ls-dr9-north"])
    assert 0.01 < np.abs(difference[:2]).max() < 0.1


def test_values_are_of_native_pixels_whatever_scale_is_asked() -> None:
    ra, dec = 150.0, 20.0
    sky = sky_of(galaxy(ra, dec, np.full(8, 3000.0), n=1.0, radius=8.0))
    fine, native, coarse = (
        sky.image("ls-dr9-south", ra, dec, arcsec_per_pixel=scale, width=side, height=side, bands=("r",))
        for scale, side in ((0.131, 129), (0.262, 65), (0.524, 33))
    )
    assert fine is not None and native is not None and coarse is not None
    for image in (fine, coarse):
        assert np.median(image) == pytest.approx(np.median(native), rel=0.03)
        assert image[0].max() == pytest.approx(native[0].max(), rel=0.05)


@pytest.mark.parametrize("layer", PLACES)
def test_overlapping_pictures_show_the_same_signal_and_noise(layer: str) -> None:
    ra, dec = PLACES[layer]
    scale = LAYERS[layer].pixscale
    sky = WideSky(star(ra, dec), 3)
    first = sky.image(layer, ra, dec, width=128, height=128)
    shifted = WCS(naxis=2)
    shifted.wcs.ctype, shifted.wcs.crval, shifted.wcs.crpix = ["RA---TAN", "DEC--TAN"], [ra, dec], [64.5, 64.5]
    shifted.wcs.cdelt = [-scale / 3600, scale / 3600]
    other_ra, other_dec = shifted.all_pix2world(63.5 + 32, 63.5 - 20, 0)
    second = sky.image(layer, float(other_ra), float(other_dec), width=128, height=128)
    assert first is not None and second is not None
    same, again = first[:, :108, 32:], second[:, 20:, :96]
    rms = np.std(first)
    sky_rms = np.array([LAYERS[layer].noise(band) * LAYERS[layer].calibration.get(band, 1.0) for band in LAYERS[layer].default_bands])
    faint = np.abs(same) < 10 * sky_rms[:, None, None]
    assert np.abs(same - again)[faint].mean() < 0.12 * np.broadcast_to(sky_rms[:, None, None], same.shape)[faint].mean()
    assert np.abs(same - again).max() < 0.1 * rms + 1.5 * sky_rms.max() + 0.02 * np.abs(first).max()


def test_a_bright_star_outside_a_picture_lights_it_as_it_does_a_larger_one() -> None:
    ra, dec = 30.0, -30.0
    sky = sky_of(star(ra, dec + 14 / 3600, 3e4))
    small, large = (sky.image("des-dr1", ra, dec, width=side, height=side, bands=("r",)) for side in (80, 180))
    assert small is not None and large is not None
    assert small[0] == pytest.approx(large[0, 50:130, 50:130], abs=1.2 * LAYERS["des-dr1"].noise("r"))


def test_noise_gives_the_depth_of_the_survey() -> None:
    survey = LAYERS["ls-dr9-south"]
    image = sky_of().image("ls-dr9-south", 150.0, 20.0, width=1000, height=1000, bands=("r",))
    assert image is not None
    blocks = image[0][:990, :990].reshape(30, 33, 30, 33).sum(axis=(1, 3))  # so large that the correlation of neighbours does not matter
    assert blocks.std() == pytest.approx(33 * survey.noise("r"), rel=0.06)
    assert abs(blocks.mean()) < 0.1 * blocks.std()


def test_north_is_up_and_east_left_in_both_formats() -> None:
    ra, dec = 150.0, 20.0
    north = sky_of(star(ra, dec + 8 / 3600))
    east = sky_of(star(ra + 8 / 3600 / np.cos(np.radians(dec)), dec))
    for sky, row, column in ((north, 32 + 8 / 0.262, 32), (east, 32, 32 - 8 / 0.262)):
        image = sky.image("ls-dr9-south", ra, dec, width=65, height=65, bands=("r",))
        picture = sky.jpeg("ls-dr9-south", ra, dec, width=65, height=65)
        assert image is not None and picture is not None and picture.dtype == np.uint8 and picture.shape == (65, 65, 3)
        brightest = np.unravel_index(image[0].argmax(), image[0].shape)
        assert brightest == pytest.approx((row, column), abs=1)
        bright = np.argwhere(picture.sum(axis=2) == picture.sum(axis=2).max()).mean(axis=0)
        assert bright == pytest.approx((64 - row, column), abs=1.5)


def test_no_brick_gives_none_and_an_unobserved_place_exact_zeros() -> None:
    sky = sky_of()
    assert sky.image("des-dr1", 150.0, 20.0) is None and sky.jpeg("des-dr1", 150.0, 20.0) is None
    edge = sky.image("ls-dr9-north", 150.0, 32.0)
    assert edge is not None
    assert (edge[:, :127] == 0).all() and (edge[:, 130:] != 0).all()
    beyond = sky.image("ls-dr9-north", 150.0, 31.95)
    assert beyond is not None and (beyond == 0).all()
    assert (sky.image("sdss", 150.0, 20.0, bands=("u",)) != 0).all()


def test_some_bricks_miss_a_strip_in_one_band() -> None:
    survey = LAYERS["ls-dr9-south"]
    rng = np.random.default_rng(4)
    frames = [Frame(ra, dec, 5.0, 180, 180) for ra, dec in zip(rng.uniform(110, 260, 300), rng.uniform(-5, 30, 300), strict=True)]
    gaps = [missing(1, survey.name, survey.bands, survey.gaps, frame) for frame in frames]
    assert 0.02 < np.mean([len(found) > 0 for found in gaps]) < 0.4
    assert max(len(found) for found in gaps) < 3
    frame, found = next((frame, found) for frame, found in zip(frames, gaps, strict=True) if found)
    band, where = next(iter(found.items()))
    row, column = np.argwhere(where)[len(np.argwhere(where)) // 2]
    ra, dec = frame.at(column, row)
    image = sky_of().image("ls-dr9-south", float(ra), float(dec), width=60, height=60)
    assert image is not None
    assert [bool((plane[28:32, 28:32] == 0).all()) for plane in image] == [name == band for name in survey.default_bands]


def test_merged_layers_and_aliases_take_the_survey_of_the_declination() -> None:
    assert layer_at("ls-dr9", NORTH_SOUTH).version == "DR9-north" and layer_at("ls-dr9", NORTH_SOUTH - 0.01).version == "DR9-south"
    assert layer_at("hsc2", 0).name == "hsc-dr2" and layer_at("dr8", 0).name == "ls-dr8-south"
    with pytest.raises(KeyError):
        layer_at("no-such-layer", 0)
    sky = WideSky(np.zeros(0, PART), 1)
    old, new = (sky.image(layer, 150.0, 20.0, width=40, height=40) for layer in ("ls-dr8", "ls-dr9"))
    assert np.array_equal(old, new)


def test_pictures_do_not_depend_on_threads_or_on_what_was_drawn_before() -> None:
    rng = np.random.default_rng(0)
    places = np.stack([rng.uniform(120, 250, 12), rng.uniform(0, 30, 12)], axis=1)
    alone = [WideSky(star(150.0, 20.0), 5).jpeg("sdss", ra, dec, width=64, height=64) for ra, dec in places]
    sky = WideSky(star(150.0, 20.0), 5)
    with ThreadPoolExecutor(4) as workers:
        together = list(workers.map(lambda place: sky.jpeg("sdss", place[0], place[1], width=64, height=64), places))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
    assert not np.array_equal(alone[0], WideSky(star(150.0, 20.0), 6).jpeg("sdss", *places[0], width=64, height=64))


def test_the_sky_has_no_seam_at_right_ascension_zero() -> None:
    sky = WideSky(star(0.0, 5.0), 2)
    whole = sky.image("sdss", 0.0, 5.0, width=100, height=60, bands=("r",))
    right = sky.image("sdss", 360 - 25 * 0.396 / 3600 / np.cos(np.radians(5.0)), 5.0, width=50, height=60, bands=("r",))
    assert whole is not None and right is not None
    assert whole[0][:, 52:98] == pytest.approx(right[0][:, 2:48], abs=0.02 * float(whole.max()))


def test_parts_come_back_from_their_file(tmp_path) -> None:
    parts = np.concatenate([star(10.0, 5.0), galaxy(20.0, -5.0, np.arange(8.0), n=2.5, radius=3.0, q=0.4, pa=1.0)])
    write_parts(parts, tmp_path / "parts.parquet")
    assert np.array_equal(read_parts(tmp_path / "parts.parquet"), parts)
