"""What a source extractor would have measured on the simulated images: positions, sizes, flags and magnitudes, with its habits and failures.

Measurements are drawn about the truth, not taken from the pixels. The relations (Kron and Petrosian factors in units of the rms length `a` with
their steps of 0.66, floor and cap, isophotal areas, differences between magnitudes) are fits by eye to the catalogue of MACS2129.
"""

import numpy as np
from scipy.spatial import cKDTree

from tuningfork.sky.bands import AB_ZERO_MICROJANSKY, BANDS
from tuningfork.sky.population import POINT, SERSIC, SPIRAL, Population, petrosian_over_half_light

RP_FLOOR, RP_STEP, RP_CAP = 3.5, 0.66, 10.56
NOT_DETECTED, NOT_OBSERVED = 99.0, -99.0
_PSF_HALF_LIGHT = 0.125
"""Radius in arcsec that holds half the light of a star in F160W, wings and pixel included."""

_MAGNITUDES = (18, 19, 20, 21, 22, 23, 24, 25, 26, 27)


def petrosian_radius(population: Population) -> np.ndarray:
    """Petrosian radius (eta = 0.2) in F160W after the PSF, arcsec, shape (n,): of one Sersic profile of each object's mean index."""
    parts = population.parts
    body = (parts["owner"] >= 0) & np.isin(parts["shape"], (SERSIC, SPIRAL))
    flux = population.part_flux[body, population.bands.index("f160w")]
    owner = parts["owner"][body]
    weight = np.bincount(owner, flux, len(population))
    index = np.bincount(owner, flux * parts["n"][body], len(population)) / np.maximum(weight, 1e-12)
    index = np.where(population.kind == POINT, 1.0, np.maximum(index, 0.5))
    return petrosian_over_half_light(index) * np.hypot(population.radius, _PSF_HALF_LIGHT)


def shapes(rng: np.random.Generator, population: Population) -> dict[str, np.ndarray]:
    """Positions and shapes as the extractor gives them.

    Returns
    -------
    dict of ndarray, shape (n,)
        x, y (1-based pixels), a, b, rf, fwhm (pixels), theta (deg), rp and rk (in units of a), area (pixels), s2n, flag, point (0 or 1), and ``loss``, the
        magnitudes by which the restricted aperture falls short.
    """
    number, h = len(population), population.h_total
    blur = 0.5 * BANDS["f160w"].fwhm
    radius = petrosian_radius(population) / population.scale * np.exp(rng.normal(0.12, 0.13, number))
    raw = np.interp(h, _MAGNITUDES, [4.3, 4.1, 4.5, 4.7, 5.1, 5.4, 6.0, 6.7, 6.9, 7.2])
    raw = raw * np.exp(rng.normal(0, np.interp(h, [19, 23, 26], [0.13, 0.17, 0.24])))
    a = np.maximum(2 * radius / np.clip(raw, 3.2, 11.5), 0.5)
    rp = np.clip(np.round(raw / RP_STEP) * RP_STEP, 0, RP_CAP)
    failed = rng.random(number) < np.interp(h, [18, 21, 24, 26], [0.22, 0.14, 0.02, 0.005])
    rp = np.where(failed | (rp < 3.7), RP_FLOOR, rp)
    rp = np.where((h > 25) & (rng.random(number) < 0.012), 0.0, rp)
    axis_ratio = np.sqrt(((population.q * population.radius) ** 2 + blur**2) / (population.radius**2 + blur**2))
    axis_ratio = np.clip(axis_ratio * np.exp(rng.normal(0, 0.06, number)), 0.12, 0.99)
    b = a * axis_ratio
    area = np.pi * a * b * np.interp(h, [18, 20, 22, 24, 26], [16, 13.5, 11.5, 9.5, 6.0]) * np.exp(rng.normal(0, 0.12, number))
    position_error = np.clip(0.03 * 10 ** (0.2 * (h - 22)), 0.01, 0.5)
    neighbours = _has_neighbour(population, 4.5 * a)
    flag = np.where(neighbours, rng.choice([2, 3, 3], number), rng.choice([0, 0, 0, 0, 0, 0, 1, 2], number))
    compact = (population.radius < 0.05) & (h < 25.5)
    return {
        "x": population.x + rng.normal(0, position_error),
        "y": population.y + rng.normal(0, position_error),
        "a": a,
        "b": b,
        "theta": _half_turn(np.degrees(population.pa) + rng.normal(0, 4, number) / np.maximum(1 - axis_ratio, 0.05)),
        "rp": rp,
        "rk": np.maximum(np.interp(h, _MAGNITUDES, [1.10, 1.08, 1.1, 1.15, 1.22, 1.33, 1.5, 1.75, 1.9, 2.05]) * np.exp(rng.normal(0, 0.14, number)), 1.0),
        "rf": 2 * radius / 8.7 * np.exp(rng.normal(-0.06, 0.16, number)),
        "fwhm": 2.0 * np.hypot(0.7 * population.radius, blur) / population.scale * np.exp(rng.normal(0.1, 0.25, number)),
        "area": np.maximum(np.round(area), 4),
        "s2n": 10 ** np.interp(h, _MAGNITUDES, [1.9, 1.72, 1.56, 1.38, 1.18, 0.97, 0.75, 0.5, 0.25, 0.0]) * np.exp(rng.normal(0, 0.25, number)),
        "flag": flag,
        "loss": rng.normal(0.48, 0.10, number) + np.where(h > 23, rng.gamma(1.2, 0.07, number), 0),
        "point": np.where(compact, rng.random(number) < 0.9, rng.random(number) < 0.006).astype(int),
    }


def magnitudes(
    rng: np.random.Generator, population: Population, band: str, seen: dict[str, np.ndarray], exposure: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Restricted (PHOTOZ) and moderated (MASS) magnitudes and their errors in one band, each of shape (n,).

    `seen` is what `shapes` gave. A source with negative flux is 99 with the limit in the error column; one outside the exposure is -99 with error 0.
    The restricted aperture loses about half a magnitude; the error is never under 0.02.
    """
    number = len(population)
    total = 10 ** (-0.4 * (population.magnitude(band) - AB_ZERO_MICROJANSKY))
    columns: list[np.ndarray] = []
    for flux, pixels, shallower in ((total * 10 ** (-0.4 * (seen["loss"] + rng.normal(0, 0.03, number))), seen["area"], 0.0), (total, 2.2 * seen["area"], 1.6)):
        noise = flux_noise(band, population.scale, pixels, exposure)
        drawn = flux + noise * rng.standard_normal(number) + 0.02 * flux * rng.standard_normal(number)
        positive = drawn > 0.02 * noise
        magnitude = AB_ZERO_MICROJANSKY - 2.5 * np.log10(np.where(positive, drawn, 1.0))
        error = np.maximum(1.0857 * noise / np.where(positive, drawn, 1.0), 0.02)
        limit = BANDS[band].depth + 0.6 - shallower
        magnitude, error = np.where(positive, magnitude, NOT_DETECTED), np.where(positive, np.minimum(error, 2000), limit)
        columns += [np.where(exposure > 0, magnitude, NOT_OBSERVED), np.where(exposure > 0, error, 0.0)]
    return columns[0], columns[1], columns[2], columns[3]


def flux_noise(band: str, scale: float, pixels: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """One sigma in microjansky of the sky in an aperture of `pixels`."""
    properties = BANDS[band]
    return properties.sky_sigma(scale) * np.sqrt(pixels / np.maximum(exposure, 0.05)) * 1.1 / properties.electrons_per_microjansky


def exposure_at(exposure: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Relative exposure of the pixel under each 1-based position (0 off the image)."""
    column, line = np.round(x).astype(int) - 1, np.round(y).astype(int) - 1
    inside = (column >= 0) & (line >= 0) & (column < exposure.shape[1]) & (line < exposure.shape[0])
    return np.where(inside, exposure[np.where(inside, line, 0), np.where(inside, column, 0)], 0.0)


def running_numbers(rng: np.random.Generator, number: int, first: int, gap: float) -> np.ndarray:
    """Increasing identifiers with holes, as a catalogue keeps after it has thrown out detections."""
    return first + np.cumsum(1 + rng.poisson(gap, number))


def _has_neighbour(population: Population, reach: np.ndarray) -> np.ndarray:
    tree = cKDTree(np.column_stack([population.x, population.y]))
    distance, other = tree.query(np.column_stack([population.x, population.y]), k=min(4, len(population)))
    bright = population.h_total[other[:, 1:]] < population.h_total[:, None] + 2
    return ((distance[:, 1:] < reach[:, None]) & bright).any(axis=1)


def _half_turn(angle: np.ndarray) -> np.ndarray:
    return (angle + 90) % 180 - 90
