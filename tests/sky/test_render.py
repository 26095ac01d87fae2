"""The optics and the noise: fluxes, widths and correlations against numbers that the renderer does not know."""

import dataclasses

import numpy as np
import pytest

from tuningfork.sky import galaxies, mosaics, render
from tuningfork.sky.bands import BANDS, CLASH_SCALE
from tuningfork.sky.parameters import SkyParameters
from tuningfork.sky.population import BULGE_LIGHT, CLUMP_LIGHT, PART, POINT, SERSIC, SPHEROID, STAR, Population, tangent_wcs


def single(shape: int, band: str, x: float, y: float, flux: float, side: int = 301, **part) -> Population:
    parts = np.zeros(1, PART)
    parts["shape"], parts["q"], parts["share"] = shape, 1.0, 1.0
    for name, value in part.items():
        parts[name] = value
    one, zero = np.ones(1), np.zeros(1)
    wcs = tangent_wcs(side, CLASH_SCALE, 150.0, 2.0)
    radius = part.get("radius", 0.001) * one
    kind, member = np.full(1, POINT), np.zeros(1, bool)
    flux_table = np.full((1, 1), flux)
    place = {"name": "SIM-T", "scale": CLASH_SCALE, "side": side, "bands": (band,), "x": x * one, "y": y * one, "wcs": wcs, "centre": (0.0, 0.0)}
    nature = {"kind": kind, "member": member, "redshift": zero, "h_total": 20 * one, "radius": radius, "q": one, "pa": zero, "structure": zero}
    return Population(**place, **nature, clumpiness=zero, merger=zero, parts=parts, part_flux=flux_table, redshift_of_cluster=0.0)


@pytest.mark.parametrize("band", ["f275w", "f606w", "f160w"])
def test_a_star_keeps_its_flux_and_its_place(band):
    population = single(STAR, band, 150.3, 148.6, 5.0)
    image = render.observe(render.paint(population)[0], band, CLASH_SCALE).astype(float)
    assert image.sum() / BANDS[band].electrons_per_microjansky == pytest.approx(5.0, rel=2e-3)
    near = image[130:170, 130:170]
    line, column = np.mgrid[131:171, 131:171]
    assert (near * column).sum() / near.sum() == pytest.approx(150.3, abs=0.1)
    assert (near * line).sum() / near.sum() == pytest.approx(148.6, abs=0.1)


@pytest.mark.parametrize("band", ["f275w", "f475w", "f814w", "f160w"])
def test_a_star_is_as_wide_as_its_filter(band):
    """The profile of one star drawn at many fractions of a pixel; its full width at half maximum is the filter's within 15 %."""
    rng = np.random.default_rng(3)
    radius, value = [], []
    line, column = np.mgrid[1:82, 1:82]
    for _ in range(40):
        x, y = 41 + rng.uniform(-0.5, 0.5, 2)
        image = render.observe(render.paint(single(STAR, band, x, y, 1.0, side=81))[0], band, CLASH_SCALE)
        distance = np.hypot(column - x, line - y)
        keep = distance < 4
        radius.append(distance[keep] * CLASH_SCALE)
        value.append(image[keep])
    radius, value = np.concatenate(radius), np.concatenate(value)
    peak = value[radius < 0.012].mean()
    bins = np.arange(0.01, 0.25, 0.01)
    profile = np.array([value[np.abs(radius - r) < 0.012].mean() for r in bins])
    half = np.interp(-peak / 2, -profile, bins)
    assert 2 * half == pytest.approx(BANDS[band].fwhm, rel=0.15)


def test_half_of_a_sersic_galaxy_lies_within_its_radius():
    population = single(SERSIC, "f160w", 200.0, 200.0, 100.0, side=401, n=1.0, radius=1.2, q=1.0)
    image = render.paint(population)[0].astype(float) / BANDS["f160w"].electrons_per_microjansky
    line, column = np.mgrid[1:402, 1:402]
    inside = np.hypot(column - 200, line - 200) * CLASH_SCALE < 1.2
    assert image.sum() == pytest.approx(100, rel=0.02)
    assert image[inside].sum() == pytest.approx(50, rel=0.03)


def test_the_noise_is_correlated_and_the_weight_says_what_large_apertures_see():
    band = BANDS["f160w"]
    science, weight = mosaics.expose(np.random.default_rng(1), np.zeros((600, 600), np.float32), np.ones((600, 600), np.float32), band, CLASH_SCALE, 0.0)
    sigma = 1 / np.sqrt(weight[0, 0])
    centred = science - science.mean()
    neighbours = (centred[:, 1:] * centred[:, :-1]).mean() / centred.var()
    assert 0.3 < neighbours < 0.7
    assert 0.4 < centred.std() / sigma < 0.6
    blocks = science.reshape(30, 20, 30, 20).sum(axis=(1, 3))
    trend = np.add.outer(blocks.mean(axis=1), blocks.mean(axis=0)) - blocks.mean()
    assert np.std(blocks - trend) == pytest.approx(20 * sigma, rel=0.15)


def test_sources_bring_photon_noise_into_the_pixels_only():
    band = BANDS["f160w"]
    bright = np.full((300, 300), 50.0, np.float32)
    science, weight = mosaics.expose(np.random.default_rng(1), bright.copy(), np.ones((300, 300), np.float32), band, CLASH_SCALE, 0.0)
    expected = np.sqrt(1 / weight[0, 0] + 50.0 / band.exposure) * np.sum(band.noise_kernel() ** 2)
    assert (science - 50).std() == pytest.approx(expected, rel=0.05)


def test_unobserved_pixels_are_blank_with_weight_zero():
    exposure = np.ones((100, 100), np.float32)
    exposure[:, :10] = 0
    for blank in (0.0, np.nan):
        science, weight = mosaics.expose(np.random.default_rng(1), np.ones((100, 100), np.float32), exposure, BANDS["f814w"], CLASH_SCALE, blank)
        np.testing.assert_array_equal(science[:, :10], blank)
        assert (weight[:, :10] == 0).all()
        assert np.isfinite(science[:, 10:]).all()


def test_morphology_depends_on_the_filter():
    """Bulges are red and clumps blue; red-sequence galaxies all but vanish in the ultraviolet."""
    population = galaxies.cluster(SkyParameters(seed=2), "SIM-A")
    blue, red = population.bands.index("f475w"), population.bands.index("f160w")
    ratio = {light: np.divide(*(population.flux(light)[:, band].sum() for band in (blue, red))) for light in (BULGE_LIGHT, CLUMP_LIGHT)}
    assert ratio[CLUMP_LIGHT] > 4 * ratio[BULGE_LIGHT]
    sequence = population.member & (population.kind == SPHEROID) & (population.h_total < 23)
    colour = population.magnitude("f606w")[sequence] - population.magnitude("f160w")[sequence]
    assert np.std(colour[np.abs(colour - np.median(colour)) < 0.6]) < 0.2
    uv = population.magnitude("f275w")[sequence] - population.magnitude("f160w")[sequence]
    assert np.median(uv) > np.median(colour) + 1.5


def test_arcs_and_intracluster_light_belong_to_no_object():
    population = galaxies.cluster(SkyParameters(seed=2), "SIM-A")
    own = dataclasses.replace(
        population, parts=population.parts[population.parts["owner"] >= 0], part_flux=population.part_flux[population.parts["owner"] >= 0]
    )
    assert len(own.parts) < len(population.parts)
    np.testing.assert_allclose(population.flux(), own.flux())
