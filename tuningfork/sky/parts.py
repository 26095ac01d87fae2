"""Draw what each object is made of: bulges, disks with arms and bars, clumps, second nuclei and tails; intracluster light and lensed arcs.

A part carries its share of the F160W light and its share of young stars, so that a galaxy looks different in every filter: bulges red, clumps
ultraviolet. The number of parts differs from object to object; each kind of part is drawn for all objects at once.
"""

import numpy as np

from tuningfork.sky.bands import AB_ZERO_MICROJANSKY
from tuningfork.sky.colours import relative_flux, star_flux
from tuningfork.sky.population import (
    ARC,
    BULGE_LIGHT,
    CLUMP_LIGHT,
    DISK,
    DISK_LIGHT,
    IRREGULAR,
    KNOT,
    PART,
    POINT,
    POINT_LIGHT,
    SERSIC,
    SPHEROID,
    SPIRAL,
    STAR,
)

DETAIL_LIMIT = 25.3
"""Objects fainter than this in F160W are one Sersic profile: nothing more could be seen of them."""


def draw_parts(
    rng: np.random.Generator,
    kind: np.ndarray,
    member: np.ndarray,
    h: np.ndarray,
    radius: np.ndarray,
    q: np.ndarray,
    pa: np.ndarray,
    structure: np.ndarray,
    clumpiness: np.ndarray,
    merger: np.ndarray,
) -> np.ndarray:
    """Parts of all objects (arguments as in `Population`); the shares of each object sum to 1.

    Returns
    -------
    ndarray of `PART`
    """
    detail = h < DETAIL_LIMIT
    groups = [_spheroids(rng, kind, member, radius, q, pa), _disks(rng, kind, member, radius, q, pa, structure, detail)]
    groups += [_irregulars(rng, kind, radius, q, pa, merger), _stars(rng, kind)]
    groups.append(_clumps(rng, kind, radius, q, pa, clumpiness, detail))
    groups.append(_companions(rng, radius, merger * detail))
    parts = np.concatenate(groups)
    return _normalise(parts, len(h))


def part_fluxes(rng: np.random.Generator, bands: tuple[str, ...], parts: np.ndarray, kind: np.ndarray, redshift: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Microjansky of each part in each band, shape (parts, bands)."""
    dust = np.where(kind == SPHEROID, 0.1, rng.gamma(2.0, 0.22, len(kind)))
    redness = rng.choice([0.25, 0.7, 1.0, 1.5], len(kind), p=[0.03, 0.17, 0.42, 0.38]) * rng.normal(1, 0.06, len(kind))
    owner = parts["owner"]
    colour = relative_flux(bands, redshift[owner], parts["young"], np.where(parts["light"] == CLUMP_LIGHT, 0.5, 1.0) * dust[owner])
    star = parts["shape"] == STAR
    colour[star] = star_flux(bands, redness[owner[star]])
    total = 10 ** (-0.4 * (h - AB_ZERO_MICROJANSKY))
    return total[owner, None] * parts["share"][:, None] * colour


def cluster_light(
    rng: np.random.Generator, bands: tuple[str, ...], radius: float, q: float, pa: float, h: float, redshift: float, side_arcsec: float
) -> tuple[np.ndarray, np.ndarray]:
    """Intracluster light about the brightest galaxy and two to five lensed arcs; they belong to no catalogued object (owner -1)."""
    number = int(rng.integers(2, 6))
    parts = np.zeros(1 + number, PART)
    parts["owner"], parts["share"] = -1, 1.0
    parts["shape"][0], parts["light"][0], parts["n"][0], parts["young"][0] = SERSIC, DISK_LIGHT, 1.0, 0.02
    parts["radius"][0], parts["q"][0], parts["pa"][0] = min(5.5 * radius, 0.2 * side_arcsec), min(q + 0.05, 1.0), pa
    arcs = parts[1:]
    arcs["shape"], arcs["light"] = ARC, CLUMP_LIGHT
    arcs["radius"] = rng.uniform(0.10, 0.22, number) * side_arcsec
    arcs["phase"] = rng.uniform(0, 2 * np.pi, number)
    arcs["amplitude"] = rng.uniform(0.8, 2.6, number) / arcs["radius"]
    arcs["n"] = rng.uniform(0.07, 0.16, number)
    arcs["young"] = rng.uniform(0.7, 1.0, number)
    depth = np.concatenate([[h + 1.0], rng.uniform(21.8, 23.8, number)])
    behind = np.concatenate([[redshift], rng.uniform(1.0, 3.0, number)])
    colour = relative_flux(bands, behind, parts["young"], np.full(1 + number, 0.2))
    return parts, 10 ** (-0.4 * (depth - AB_ZERO_MICROJANSKY))[:, None] * colour


def _new(owner: np.ndarray, shape: int, light: int, **columns: np.ndarray | float) -> np.ndarray:
    parts = np.zeros(len(owner), PART)
    parts["owner"], parts["shape"], parts["light"], parts["q"] = owner, shape, light, 1.0
    for name, values in columns.items():
        parts[name] = values
    return parts


def _spheroids(rng: np.random.Generator, kind: np.ndarray, member: np.ndarray, radius: np.ndarray, q: np.ndarray, pa: np.ndarray) -> np.ndarray:
    at = np.flatnonzero(kind == SPHEROID)
    halo = np.where(rng.random(len(at)) < 0.35, rng.uniform(0.1, 0.45, len(at)), 0.0)
    young = np.where(member[at], rng.beta(1.0, 40, len(at)), rng.beta(1.0, 9, len(at)))
    index = np.round(rng.uniform(4, 9, len(at))) / 2
    body = _new(at, SERSIC, BULGE_LIGHT, n=index, radius=radius[at] * (1 - 0.35 * halo), q=q[at], pa=pa[at], share=1 - halo, young=young)
    disk = _new(at, SERSIC, DISK_LIGHT, n=1.0, radius=radius[at] * 1.5, q=np.clip(q[at] - 0.1, 0.3, 1), pa=pa[at], share=halo, young=young + 0.02)
    return np.concatenate([body, disk[halo > 0]])


def _disks(
    rng: np.random.Generator, kind: np.ndarray, member: np.ndarray, radius: np.ndarray, q: np.ndarray, pa: np.ndarray, structure: np.ndarray, detail: np.ndarray
) -> np.ndarray:
    at = np.flatnonzero(kind == DISK)
    number = len(at)
    bulge = rng.beta(1.4, 4.0, number)
    bar = np.where(rng.random(number) < 0.35, rng.uniform(0.06, 0.22, number), 0.0) * (structure[at] > 0.2)
    young = np.where(member[at], rng.beta(1.3, 9, number), rng.beta(2.2, 4.5, number))
    body = _new(
        at, SPIRAL, DISK_LIGHT, n=1.0, radius=radius[at] * 1.12, q=q[at], pa=pa[at], share=1 - bulge - bar, young=young,
        amplitude=0.95 * structure[at], arms=rng.choice([2, 2, 2, 3, 4], number), pitch=rng.uniform(0.22, 0.55, number),
        phase=rng.uniform(0, 2 * np.pi, number),
    )  # fmt: skip
    body["shape"][~detail[at]] = SERSIC
    centre = _new(at, SERSIC, BULGE_LIGHT, n=np.round(rng.uniform(2, 7, number)) / 2, radius=radius[at] * rng.uniform(0.15, 0.4, number),
                  q=np.clip(q[at] + 0.3, 0, 1), pa=pa[at], share=bulge, young=0.05 * young)  # fmt: skip
    rod = _new(at, SERSIC, DISK_LIGHT, n=0.5, radius=radius[at] * rng.uniform(0.45, 0.7, number), q=rng.uniform(0.22, 0.35, number),
               pa=pa[at] + rng.uniform(-1.2, 1.2, number), share=bar, young=0.3 * young)  # fmt: skip
    return np.concatenate([body, centre[detail[at]], rod[(bar > 0) & detail[at]]])


def _irregulars(rng: np.random.Generator, kind: np.ndarray, radius: np.ndarray, q: np.ndarray, pa: np.ndarray, merger: np.ndarray) -> np.ndarray:
    at = np.flatnonzero(kind == IRREGULAR)
    number = len(at)
    off = rng.normal(0, 0.22, (2, number)) * radius[at]
    index = np.round(rng.uniform(1, 3, number)) / 2
    return _new(at, SERSIC, DISK_LIGHT, dx=off[0], dy=off[1], n=index, radius=radius[at], q=q[at], pa=pa[at], share=1.0, young=rng.beta(3.5, 4.0, number))


def _stars(rng: np.random.Generator, kind: np.ndarray) -> np.ndarray:
    at = np.flatnonzero(kind == POINT)
    return _new(at, STAR, POINT_LIGHT, share=1.0, young=0.0)


def _clumps(
    rng: np.random.Generator, kind: np.ndarray, radius: np.ndarray, q: np.ndarray, pa: np.ndarray, clumpiness: np.ndarray, detail: np.ndarray
) -> np.ndarray:
    """Knots of young stars within two radii, in the plane of the disk; `clumpiness` is their share of the light."""
    at = np.flatnonzero((clumpiness > 0.01) & detail)
    count = np.where(kind[at] == DISK, rng.integers(3, 12, len(at)), rng.integers(2, 7, len(at)))
    owner = np.repeat(at, count)
    reach = radius[owner] * np.where(kind[owner] == DISK, rng.uniform(0.4, 2.0, len(owner)), 1.5 * np.sqrt(rng.random(len(owner))))
    angle = rng.uniform(0, 2 * np.pi, len(owner))
    along, across = reach * np.cos(angle), reach * np.sin(angle) * np.maximum(q[owner], 0.25)
    dx, dy = along * np.cos(pa[owner]) - across * np.sin(pa[owner]), along * np.sin(pa[owner]) + across * np.cos(pa[owner])
    weight = rng.gamma(1.0, 1.0, len(owner)) + 0.2
    weight /= np.bincount(owner, weight, len(radius))[owner]
    size = radius[owner] * rng.uniform(0.05, 0.2, len(owner))
    return _new(owner, KNOT, CLUMP_LIGHT, dx=dx, dy=dy, radius=size, share=-clumpiness[owner] * weight, young=rng.uniform(0.75, 1.0, len(owner)))


def _companions(rng: np.random.Generator, radius: np.ndarray, merger: np.ndarray) -> np.ndarray:
    """The second nucleus of a merger and its tidal tail (a string of blobs along an arc)."""
    at = np.flatnonzero(merger > 0)
    number, blobs = len(at), 7
    distance, angle = radius[at] * rng.uniform(0.9, 2.0, number), rng.uniform(0, 2 * np.pi, number)
    second = _new(at, SERSIC, CLUMP_LIGHT, dx=distance * np.cos(angle), dy=distance * np.sin(angle), n=1.5, radius=radius[at] * rng.uniform(0.35, 0.8, number),
                  q=rng.uniform(0.4, 1, number), pa=rng.uniform(-1.5, 1.5, number), share=-0.32 * merger[at], young=rng.beta(2, 5, number))  # fmt: skip
    owner = np.repeat(at, blobs)
    step = np.tile(np.linspace(0.0, 1.0, blobs), number)
    turn = np.repeat(rng.choice([-1, 1], number) * rng.uniform(0.6, 1.6, number), blobs)
    far = radius[owner] * (1.0 + 2.2 * step)
    where = np.repeat(angle + np.pi, blobs) + turn * step
    tail = _new(owner, KNOT, CLUMP_LIGHT, dx=far * np.cos(where), dy=far * np.sin(where), radius=radius[owner] * (0.28 + 0.12 * step),
                share=-0.16 * merger[owner] / blobs * (1.5 - step), young=np.repeat(rng.beta(3, 3, number), blobs))  # fmt: skip
    return np.concatenate([second, tail])


def _normalise(parts: np.ndarray, number: int) -> np.ndarray:
    """Make the shares of each object sum to 1: additions (written negative) take their share, the bodies divide what is left."""
    added = parts["share"] < 0
    taken = np.bincount(parts["owner"][added], -parts["share"][added], number)
    shrink = np.where(taken > 0.8, 0.8 / np.maximum(taken, 1e-9), 1.0)
    parts["share"][added] *= -shrink[parts["owner"][added]]
    rest = np.bincount(parts["owner"][~added], parts["share"][~added], number)
    left = 1 - np.minimum(taken, 0.8)
    body = ~added
    parts["share"][body] *= (left / np.maximum(rest, 1e-9))[parts["owner"][body]]
    return parts
