"""Draw the objects of a field: who they are, where, how bright and how large.

Clusters have a brightest galaxy with intracluster light, a red sequence, blue infallers and lensed arcs, before and behind them field galaxies; the
blank field has field galaxies only. What each object is made of is drawn in `tuningfork.sky.parts`.
"""

import numpy as np

from tuningfork.sky.bands import CLASH_SCALE, HLF_SCALE
from tuningfork.sky.parameters import SkyParameters
from tuningfork.sky.parts import cluster_light, draw_parts, part_fluxes
from tuningfork.sky.population import DISK, IRREGULAR, POINT, SPHEROID, Population, tangent_wcs

GOODSS_CENTRE = (53.122751, -27.805089)
MARGIN_PX = 20

_CLUSTER_EDGES = np.array([17.6, 18.0, 19.0, 20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0, 26.9])
_CLUSTER_COUNTS = np.array([1, 4, 29, 47, 61, 98, 160, 233, 343, 340])
_CLUSTER_BRIGHT = 367.0
"""F160W moderated magnitudes of MACS2129 (Molino et al. 2017), a count a bin, and how many of those objects have a restricted magnitude < 24.5."""

_BRIGHT_STAR = (16.3, 17.6)
"""F160W magnitudes of the one or few stars a field that show diffraction spikes."""

_FIELD_SLOPE = 0.30
_FIELD_LIMITS = (17.8, 26.2)


def goodss(parameters: SkyParameters) -> Population:
    """The GOODS-S field in F160W."""
    rng = parameters.generator("population", "goodss")
    side, scale = parameters.goodss_side_px, HLF_SCALE
    bright, faint = _FIELD_LIMITS
    area = (side * scale / 60) ** 2
    number = round(parameters.goodss_density * area * (10 ** (_FIELD_SLOPE * (faint - 24.5)) - 10 ** (_FIELD_SLOPE * (bright - 24.5))))
    h = np.log10(rng.uniform(10 ** (_FIELD_SLOPE * bright), 10 ** (_FIELD_SLOPE * faint), number)) / _FIELD_SLOPE
    x, y = rng.uniform(1 + MARGIN_PX, side - MARGIN_PX, (2, number))
    crowd = rng.random(number) < 0.22
    partner = rng.integers(0, number, number)
    distance, angle = rng.gamma(2.0, 0.9, number) / scale + 0.5 / scale, rng.uniform(0, 2 * np.pi, number)
    x = np.where(crowd, np.clip(x[partner] + distance * np.cos(angle), 8, side - 8), x)
    y = np.where(crowd, np.clip(y[partner] + distance * np.sin(angle), 8, side - 8), y)
    kind = _choose(rng, h, number, spheroid=0.19, disk=0.62, point=0.08)
    bright_stars = slice(0, 1 + side * side // 6_000_000)
    kind[bright_stars], h[bright_stars] = POINT, rng.uniform(*_BRIGHT_STAR, bright_stars.stop)
    member = np.zeros(number, dtype=bool)
    redshift = np.where(kind == POINT, 0.0, _field_redshift(rng, h))
    return _assemble(parameters, rng, "goodss", scale, side, ("f160w",), x, y, kind, member, redshift, h, GOODSS_CENTRE, None, 0.0)


def cluster(parameters: SkyParameters, name: str) -> Population:
    """One fictitious cluster of galaxies in all bands."""
    rng = parameters.generator("population", name)
    side, scale = parameters.cluster_side_px, CLASH_SCALE
    area = (side * scale / 60) ** 2
    number = max(round(parameters.cluster_density * area / _CLUSTER_BRIGHT * _CLUSTER_COUNTS.sum()), 12)
    pick = rng.choice(len(_CLUSTER_COUNTS), number, p=_CLUSTER_COUNTS / _CLUSTER_COUNTS.sum())
    h = rng.uniform(_CLUSTER_EDGES[pick], _CLUSTER_EDGES[pick + 1])
    cluster_redshift = round(float(rng.uniform(0.30, 0.62)), 3)
    member = rng.random(number) < np.interp(h, [18, 21, 23, 25, 27], [0.92, 0.72, 0.50, 0.28, 0.15])
    kind = np.where(
        member,
        _choose(rng, h, number, spheroid=0.69, disk=0.24, point=0.0),
        _choose(rng, h, number, spheroid=0.23, disk=0.42, point=0.21),
    )
    member &= kind != POINT
    redshift = np.where(member, cluster_redshift + rng.normal(0, 0.004, number), np.where(kind == POINT, 0.0, _field_redshift(rng, h)))
    middle = side / 2 + rng.uniform(-0.04, 0.04, 2) * side
    radius, angle = side * 0.62 * rng.power(1.25, number), rng.uniform(0, 2 * np.pi, number)
    uniform = rng.uniform(MARGIN_PX, side - MARGIN_PX, (2, number))
    near = member & (rng.random(number) < 0.6)
    x = np.where(near, middle[0] + radius * np.cos(angle), uniform[0])
    y = np.where(near, middle[1] + radius * np.sin(angle), uniform[1])
    outside = (np.minimum(x, y) < MARGIN_PX) | (np.maximum(x, y) > side - MARGIN_PX)
    x, y = np.where(outside, uniform[0], x), np.where(outside, uniform[1], y)
    brightest = 0
    x[brightest], y[brightest], h[brightest] = *middle, rng.uniform(16.9, 17.5)
    kind[brightest], member[brightest], redshift[brightest] = SPHEROID, True, cluster_redshift
    kind[1], member[1], redshift[1], h[1] = POINT, False, 0.0, rng.uniform(*_BRIGHT_STAR)
    sky_position = (float(rng.uniform(20, 340)), float(rng.uniform(-55, 60)))
    return _assemble(parameters, rng, name, scale, side, parameters.bands, x, y, kind, member, redshift, h, sky_position, (brightest, middle), cluster_redshift)


def _choose(rng: np.random.Generator, h: np.ndarray, number: int, *, spheroid: float, disk: float, point: float) -> np.ndarray:
    """Types at random; faint objects are more often irregular."""
    lean = np.interp(h, [19, 22, 25], [-0.10, 0.0, 0.10])
    u = rng.random(number)
    kind = np.full(number, IRREGULAR)
    kind[u < point + spheroid + disk - lean] = DISK
    kind[u < point + spheroid] = SPHEROID
    kind[u < point] = POINT
    return kind


def _field_redshift(rng: np.random.Generator, h: np.ndarray) -> np.ndarray:
    return np.clip(10 ** (np.log10(0.42) + 0.085 * (h - 20) + rng.normal(0, 0.20, len(h))), 0.05, 6.5)


def _assemble(
    parameters: SkyParameters,
    rng: np.random.Generator,
    name: str,
    scale: float,
    side: int,
    bands: tuple[str, ...],
    x: np.ndarray,
    y: np.ndarray,
    kind: np.ndarray,
    member: np.ndarray,
    redshift: np.ndarray,
    h: np.ndarray,
    sky_position: tuple[float, float],
    bcg: tuple[int, np.ndarray] | None,
    cluster_redshift: float,
) -> Population:
    """Draw sizes, shapes and parts, and put the field together."""
    number = len(h)
    size = np.select(
        [kind == SPHEROID, kind == DISK, kind == IRREGULAR],
        [-0.46 - 0.125 * (h - 22), -0.34 - 0.085 * (h - 22), -0.33 - 0.08 * (h - 22)],
        -3.0,
    )
    spread = np.select([kind == SPHEROID, kind == POINT], [0.19, 0.0], 0.16)
    radius = 10 ** (size + spread * np.clip(rng.standard_normal(number), -2.2, 2.2))
    radius = np.clip(radius, 0.001, 2.2)
    cosine = rng.random(number)
    q = np.where(kind == SPHEROID, rng.uniform(0.58, 1.0, number), np.sqrt(cosine**2 * (1 - 0.16**2) + 0.16**2))
    q = np.where(kind == IRREGULAR, rng.uniform(0.35, 0.95, number), q)
    pa = rng.uniform(-np.pi / 2, np.pi / 2, number)
    structure = np.where(kind == DISK, rng.beta(1.6, 1.5, number) * (rng.random(number) < np.where(member, 0.70, 0.85)), 0.0)
    clumpiness = np.select([kind == DISK, kind == IRREGULAR], [rng.beta(1.3, 9.0, number) * structure, rng.beta(2.2, 3.0, number)], 0.0)
    merger = np.where((kind == IRREGULAR) & (rng.random(number) < 0.42), rng.uniform(0.3, 1.0, number), 0.0)
    merger = np.where((kind == DISK) & (rng.random(number) < 0.06), rng.uniform(0.2, 0.6, number), merger)
    if bcg is not None:
        radius[bcg[0]], q[bcg[0]] = rng.uniform(1.9, 2.6), rng.uniform(0.6, 0.85)
    parts = draw_parts(rng, kind, member, h, radius, q, pa, structure, clumpiness, merger)
    flux = part_fluxes(rng, bands, parts, kind, redshift, h)
    if bcg is not None:
        extra, extra_flux = cluster_light(rng, bands, radius[bcg[0]], q[bcg[0]], pa[bcg[0]], h[bcg[0]], cluster_redshift, side * scale)
        parts, flux = np.concatenate([parts, extra]), np.concatenate([flux, extra_flux])
        centre = (float(bcg[1][0]), float(bcg[1][1]))
    else:
        centre = (side / 2, side / 2)
    return Population(
        name, scale, side, bands, x, y, kind, member, redshift, h, radius, q, pa, structure, clumpiness, merger, parts, flux,
        tangent_wcs(side, scale, *sky_position), centre, cluster_redshift,
    )  # fmt: skip
