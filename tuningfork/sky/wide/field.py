"""Everything that nobody asked for: the faint galaxies and stars between the targets, drawn anew wherever one looks.

The sky is cut into cells; a cell's contents follow from the seed and its number alone, so nothing is stored and every survey sees the same objects.
"""

import functools

import numpy as np

from tuningfork.sky.wide import seds
from tuningfork.sky.wide.grid import STRIP_DEG
from tuningfork.sky.wide.parts import PART, POINT, new_parts

CELL_DEG = STRIP_DEG / 8

GALAXIES_PER_ARCMIN2 = 24.0
"""With 18.2 < r < 24.6; the counts rise by a factor of ten in three magnitudes (Yasuda et al. 2001 and fainter surveys)."""

STARS_PER_ARCMIN2 = 2.6
"""With 15.5 < r < 24, at high galactic latitude."""

_SLOPE = 0.34
_LIMITS = (18.2, 24.6)


def around(seed: int, ra: float, dec: float, radius_deg: float) -> np.ndarray:
    """Parts of the field objects of all cells that a circle touches (degrees); array of `PART`."""
    found = []
    for row in range(int(np.floor((dec - radius_deg + 90) / CELL_DEG)), int(np.floor((dec + radius_deg + 90) / CELL_DEG)) + 1):
        middle = row * CELL_DEG + CELL_DEG / 2 - 90
        if not -90 < middle < 90:
            continue
        around_sky = _cells_around(row)
        half = radius_deg / np.cos(np.radians(middle)) / 360 * around_sky
        place = ra / 360 * around_sky
        found += [_cell(seed, row, column % around_sky) for column in range(int(np.floor(place - half)), int(np.floor(place + half)) + 1)]
    return np.concatenate(found) if found else np.zeros(0, PART)


def _cells_around(row: int) -> int:
    return max(round(360 * np.cos(np.radians(row * CELL_DEG + CELL_DEG / 2 - 90)) / CELL_DEG), 1)


@functools.lru_cache(maxsize=8192)
def _cell(seed: int, row: int, column: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 77, row, column])
    area = (CELL_DEG * 60) ** 2
    galaxies, stars = rng.poisson([GALAXIES_PER_ARCMIN2 * area, STARS_PER_ARCMIN2 * area])
    number = galaxies + stars
    ra = (column + rng.random(number)) / _cells_around(row) * 360
    dec = (row + rng.random(number)) * CELL_DEG - 90
    low, high = _LIMITS
    r = np.log10(rng.uniform(10 ** (_SLOPE * low), 10 ** (_SLOPE * high), galaxies)) / _SLOPE
    young = rng.beta(1.2, 1.6, galaxies)
    flux = seds.dusty(seds.population(rng.gamma(3.0, 0.1, galaxies), young), rng.gamma(1.5, 0.2, galaxies)) * seds.nanomaggies(r)[:, None]
    index = np.where(young < 0.2, rng.uniform(2, 4, galaxies), rng.uniform(0.8, 1.6, galaxies))
    size = 10 ** (-0.05 - 0.10 * (r - 21) + rng.normal(0, 0.18, galaxies))
    body = new_parts(ra[:galaxies], dec[:galaxies], flux, n=index, radius=size, q=rng.uniform(0.25, 1, galaxies), pa=rng.uniform(0, np.pi, galaxies))
    bright = 15.5 + 8.5 * rng.random(stars) ** 0.55
    redness = rng.choice([0.25, 0.5, 1.0, 1.4, 1.6], stars, p=[0.12, 0.33, 0.2, 0.27, 0.08]) + rng.normal(0, 0.06, stars)
    light = seds.stars(redness) * seds.nanomaggies(bright)[:, None]
    cell = np.concatenate([body, new_parts(ra[galaxies:], dec[galaxies:], light, shape=POINT)])
    cell.flags.writeable = False
    return cell
