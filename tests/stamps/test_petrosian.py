import csv

import numpy as np
import pytest
import statmorph
from astropy.io import fits
from stamp_scenes import SCALE, sersic, write_mosaic

from tuningfork.stamps import wings
from tuningfork.stamps.mosaic import Mosaic
from tuningfork.stamps.petrosian import measure_array, measure_sizes

# Sersic n: (b_n, analytic R_petro / r_e at eta = 0.2); the same values as in petrosian_refs, so that the crowd tests run without the data
DISC, BULGE = (1.0, 1.678346990, 2.15830009), (4.0, 7.669249443, 1.82036904)


def analytic(shared_data) -> list[tuple[float, float, float]]:
    with open(shared_data / "petrosian_refs" / "sersic_petrosian_analytic.csv", newline="") as file:
        return [(float(row["sersic_n"]), float(row["b_n"]), float(row["rp_over_re_eta0.2"])) for row in csv.DictReader(file)]


def test_every_analytic_model_to_half_a_percent(shared_data):
    models = analytic(shared_data)
    assert len(models) == 12
    for n, b, factor in models:
        image = sersic(301, 150.3, 149.8, 20.0, n, b)
        found = measure_array(image, [150.3], [149.8], sky=0.0, recentre=0.0)
        assert found.radius[0] / 20 == pytest.approx(factor, rel=5e-3), n
        assert found.flag[0] == "" and found.ratio[0] == pytest.approx(1, abs=0.01)


def test_every_analytic_model_to_half_a_percent_with_the_sky_measured(shared_data):
    radius = 25.0
    for n, b, factor in analytic(shared_data):
        for ratio in (1.0, 0.5) if n in (1, 4, 6, 10) else (1.0,):
            image = 0.05 + 1000 * sersic(275, 137.2, 136.7, radius / factor, n, b, ratio, 0.7)
            found = measure_array(image, [137.2], [136.7])
            assert found.radius[0] == pytest.approx(radius, rel=5e-3), (n, ratio)
            assert found.flag[0] == "" and found.ratio[0] == pytest.approx(ratio, abs=0.01)


def test_a_small_galaxy_with_the_sky_measured(shared_data):
    for n, b, factor in analytic(shared_data):
        image = 0.05 + 1000 * sersic(95, 47.2, 46.7, 8.0 / factor, n, b)
        assert measure_array(image, [47.2], [46.7]).radius[0] == pytest.approx(8.0, rel=5e-3 if n <= 4 else 0.012), n


@pytest.mark.parametrize("model", [DISC, BULGE])
@pytest.mark.parametrize(("distance", "copies"), [(0.0, 400), (2.0, 160)])
def test_noise_of_a_thirtieth_biases_the_median_by_less_than_five_percent(model, distance, copies):
    image, x, y, radius = crowd(model, distance, 1 / 30, copies, np.random.default_rng(17))
    ratio = measure_array(image, x, y).radius / radius
    assert np.isfinite(ratio).mean() > 0.97 and abs(np.nanmedian(ratio) - 1) < 0.05
    low, high = np.nanpercentile(ratio, [16, 84])
    assert (high - low) / 2 < (0.16 if model is DISC else 0.36)


def test_wings_have_the_petrosian_radius_as_their_unit(shared_data):
    n, b, factor = np.array(analytic(shared_data)).T
    np.testing.assert_allclose(wings.steepness(n, 0.2), b * factor ** (1 / n), rtol=1e-3)


def test_the_galfit_model(shared_data):
    image = fits.getdata(shared_data / "petrosian_refs" / "petrofit" / "galfit_sersic_n1.fits.gz")
    for sky in (0.0, None):
        found = measure_array(image, [255.0], [255.0], sky=sky)
        assert found.radius[0] == pytest.approx(64.749, rel=5e-3) and found.circular[0] == pytest.approx(64.749, rel=5e-3)


@pytest.mark.parametrize(("model", "size"), [(DISC, 401), (BULGE, 401)])
def test_an_inclined_galaxy_with_its_own_sky(model, size):
    n, b, factor = model
    image = 7.0 + 1000 * sersic(size, 200.3, 199.8, 16.0, n, b, ratio=0.5, angle=0.7)
    found = measure_array(image, [200.3], [199.8])
    assert found.radius[0] == pytest.approx(16 * factor, rel=6e-3)
    assert found.ratio[0] == pytest.approx(0.5, rel=0.02) and found.angle[0] == pytest.approx(0.7, abs=0.01)


def crowd(model, distance: float, noise: float, copies: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Copies of a galaxy side by side, each with a neighbour of half its flux at `distance` radii, noise, and a sky of one sigma."""
    n, b, factor = model
    re = 7.0
    radius = re * factor
    size = int(13 * radius) | 1
    centre = size // 2
    galaxy = sersic(size, centre + 0.2, centre - 0.3, re, n, b, 0.8, 0.5)
    sigma = noise * 0.9 / (np.sqrt(np.pi * 0.8) * radius)
    tiles = []
    for angle in 2 * np.pi * np.arange(copies) / copies + 0.1:
        tile = galaxy + sigma
        if distance:
            x, y = centre + distance * radius * np.cos(angle), centre + distance * radius * np.sin(angle)
            tile = tile + 0.5 * sersic(size, x, y, 0.5 * re, 1.0, DISC[1], 0.8, 1.0)
        tiles.append(tile + rng.normal(0, sigma, tile.shape) if noise else tile)
    return np.concatenate(tiles, axis=1), np.arange(copies) * size + centre + 0.2, np.full(copies, centre - 0.3), radius


@pytest.mark.parametrize("model", [DISC, BULGE])
@pytest.mark.parametrize("distance", [0.0, 1.0, 1.5, 2.0, 3.0])
def test_a_neighbour_does_not_move_the_radius(model, distance):
    image, x, y, radius = crowd(model, distance, 0.0, 6, np.random.default_rng(0))
    found = measure_array(image, x, y)
    assert np.abs(found.radius / radius - 1).max() < 0.02


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.0, 3.0])
def test_noise_sky_and_a_neighbour_together_bias_by_less_than_five_percent(distance):
    image, x, y, radius = crowd(DISC, distance, 1 / 80, 40, np.random.default_rng(11))
    found = measure_array(image, x, y)
    ratio = found.radius[np.isfinite(found.radius)] / radius
    assert len(ratio) >= 39 and abs(np.median(ratio) - 1) < 0.05 and np.std(ratio) < 0.15


def test_statmorph_agrees_where_the_neighbour_is_masked_by_hand():
    rng = np.random.default_rng(2)
    size, re = 241, 9.0
    galaxy, neighbour = sersic(size, 120.0, 120.0, re, *DISC[:2], 0.7, 0.4), 0.5 * sersic(size, 165.0, 135.0, 4.0, *DISC[:2])
    sigma = 2e-6
    image = galaxy + neighbour + rng.normal(0, sigma, galaxy.shape)
    segmentation = (galaxy > 3 * sigma).astype(int)
    # statmorph counts masked pixels as zero within its annuli, so the neighbour stands where its mask does not reach them
    morphology = statmorph.source_morphology(image, segmentation, mask=neighbour > 0.5 * sigma, gain=1e9)[0]
    found = measure_array(image, [120.0], [120.0])
    assert found.radius[0] == pytest.approx(morphology.rpetro_ellip, rel=0.03)
    assert found.circular[0] == pytest.approx(morphology.rpetro_circ, rel=0.03)
    assert 1 - found.ratio[0] == pytest.approx(morphology.ellipticity_asymmetry, abs=0.03)


def test_company_and_order_and_first_guess_do_not_matter():
    image, x, y, radius = crowd(DISC, 2.0, 1 / 200, 6, np.random.default_rng(5))
    whole = measure_array(image, x, y, guess=radius)
    order = np.array([4, 1, 3])
    part = measure_array(image, x[order], y[order], guess=radius)
    np.testing.assert_array_equal(part.radius, whole.radius[order])
    for guess in (4.0, 60.0):
        np.testing.assert_allclose(measure_array(image, x, y, guess=guess).radius, whole.radius, rtol=0.05)


def test_sizes_of_a_mosaic_come_as_a_described_table_with_flags(tmp_path):
    rng = np.random.default_rng(9)
    image = rng.normal(0, 1e-4, (500, 500))
    image += 10 * np.pad(sersic(301, 150.0, 150.0, 8.0, *DISC[:2], 0.6, 0.0), ((0, 199), (0, 199)))
    image += 2 * np.pad(sersic(41, 20.0, 20.0, 0.4, *DISC[:2]), ((380, 79), (380, 79)))
    image[350:450, 50:150] = np.nan
    mosaic = Mosaic(write_mosaic(tmp_path / "m.fits", image.astype(np.float32)))
    x, y = np.array([151.0, 401.0, 101.0, 900.0, np.nan]), np.array([151.0, 401.0, 401.0, 100.0, 5.0])
    table = measure_sizes(mosaic, x, y, fallback_arcsec=0.9)
    assert table["petrosian_flag"].tolist() == ["", "floor", "unobserved", "unobserved", "unobserved"]
    assert table["petrosian_radius_arcsec"][0] == pytest.approx(8 * DISC[2] * SCALE, rel=0.02)
    assert np.ma.getmaskarray(table["petrosian_radius_arcsec"]).tolist() == [False, False, True, True, True]
    assert table["size_used_arcsec"][2:].tolist() == [0.9] * 3
    # along +x with north up and east left: 90 degrees
    assert table["position_angle_deg"][0] == pytest.approx(90, abs=1.0) and table["ellipticity"][0] == pytest.approx(0.4, abs=0.02)
    assert table["x_centroid"][0] == pytest.approx(151, abs=0.2)
    assert all(column.info.description and (column.info.meta or {}).get("ucd") for column in table.itercols())
    empty = measure_sizes(mosaic, x[:0], y[:0])
    assert len(empty) == 0 and empty.colnames == table.colnames


def test_blank_sky_has_no_radius():
    image = np.random.default_rng(3).normal(0, 1, (400, 400))
    found = measure_array(image, np.linspace(100, 300, 12), np.linspace(120, 280, 12))
    bad = (found.flag == "no_petro") | (found.flag == "floor") | (found.flag == "crowded")
    assert bad.mean() > 0.5
