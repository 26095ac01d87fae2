"""Low-surface-brightness galaxies, and what is mistaken for them: blends, ejecta, knots in the outskirts of larger galaxies, ghosts, cirrus, haloes of stars.

Each object has a diffuse body with a size, a surface brightness, a shape and colours, drawn from distributions that overlap between the classes; what tells an
artifact is beside the body or in it.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.special import gamma as gamma_function

from tuningfork.sky.wide import seds
from tuningfork.sky.wide.galaxies import parts_of
from tuningfork.sky.wide.parts import POINT, new_parts, offsets
from tuningfork.sky.wide.surveys import ALL_BANDS
from tuningfork.sky.wide.zoo import LOOSE, ROUND, TIGHT, draw

GALAXY, REJECTED_BY_EYE, REJECTED_BY_MACHINE = "lsbg", "artifact_2", "artifact_1"
"""Positives; "Artifacts 2", which passed the support-vector machine; "Artifacts 1", which did not (reference/systems.md, C1)."""

BLEND, EJECTA, KNOTS, OUTSKIRTS, GHOST, CIRRUS, STAR_HALO, EDGE, COMPACT, GROUP = range(10)
ORIGINS = ("blend", "tidal ejecta", "star-forming knots", "outskirts", "ghost", "cirrus", "halo of a star", "edge of a galaxy", "compact", "group")
_SHARES = {REJECTED_BY_EYE: [0.34, 0.17, 0.17, 0.14, 0.08, 0.10, 0, 0, 0, 0], REJECTED_BY_MACHINE: [0.05, 0, 0, 0.05, 0.05, 0, 0.35, 0.2, 0.17, 0.13]}


@dataclass(frozen=True)
class Bodies:
    """Diffuse bodies, arrays of shape (n,): degrees; `radius` half-light in g along the major axis (arcsec); `mu` mean surface brightness in g within it
    (mag/arcsec^2); `index` Sersic; `q`, `pa` (radians); `flux` (n, 8) nanomaggies; `origin` number in `ORIGINS`, -1 for galaxies."""

    ra: np.ndarray
    dec: np.ndarray
    radius: np.ndarray
    mu: np.ndarray
    index: np.ndarray
    q: np.ndarray
    pa: np.ndarray
    flux: np.ndarray
    origin: np.ndarray

    def __len__(self) -> int:
        return len(self.ra)

    def take(self, rows: np.ndarray) -> "Bodies":
        """Some of them."""
        return Bodies(**{column.name: getattr(self, column.name)[rows] for column in fields(self)})


def bodies(rng: np.random.Generator, label: str, ra: np.ndarray, dec: np.ndarray, deeper: float = 0.0) -> Bodies:
    """Bodies of one class at places in degrees; `deeper` magnitudes fainter in surface brightness for a deeper survey."""
    number = len(ra)
    galaxy = label == GALAXY
    origin = np.full(number, -1) if galaxy else rng.choice(len(ORIGINS), number, p=_SHARES[label])
    machine = np.isin(origin, (STAR_HALO, EDGE, COMPACT, GROUP))
    radius = 4.1 * np.exp(rng.normal(0, 0.36, number)) if galaxy else np.where(machine, 3.2, 3.7) * np.exp(rng.normal(0, 0.38, number))
    radius = np.clip(radius, 2.55, 14.0)
    mu = 24.22 + deeper + (rng.gamma(2.6, 0.36, number) if galaxy else np.where(machine, rng.gamma(1.3, 0.35, number), rng.gamma(1.8, 0.38, number)))
    mu = np.minimum(mu, 26.9 + deeper)
    index = np.clip(rng.lognormal(np.log(0.92), 0.25, number) if galaxy else rng.lognormal(np.log(1.22), 0.42, number), 0.5, 2.8)
    q = 1 - 0.75 * rng.beta(2.2, 3.8, number) if galaxy else 1 - 0.9 * rng.beta(2.2, 2.6, number)
    q = np.where(np.isin(origin, (CIRRUS, GHOST)), np.minimum(q, rng.uniform(0.25, 0.7, number)), q)
    red = rng.random(number) < (0.32 if galaxy else 0.40)
    young = np.where(red, rng.beta(1.5, 10, number), rng.beta(7, 3, number)) if galaxy else np.where(red, rng.beta(1.5, 7, number), rng.beta(3.0, 2.2, number))
    colour = seds.dusty(
        seds.population(rng.uniform(0.005, 0.04, number), young, rng.normal(-0.5, 0.15, number)), 0.0 if galaxy else rng.gamma(1.0, 0.12, number)
    )
    if not galaxy:
        colour = _odd_colours(rng, colour, origin)
    g = 10 ** (-0.4 * (mu - 2.5 * np.log10(2 * np.pi * radius**2 * q) - 22.5))
    flux = colour / colour[:, [ALL_BANDS.index("g")]] * g[:, None]
    return Bodies(ra, dec, radius, mu, index, q, rng.uniform(0, np.pi, number), flux, origin)


def parts(rng: np.random.Generator, found: Bodies, first: int) -> np.ndarray:
    """The light of bodies and of all that belongs to them, numbered from `first`; array of `PART`."""
    origin = found.origin
    pieces = [_galaxies(rng, found, first), _halo(found, first)]
    pieces += [_blends(rng, found, np.flatnonzero(origin == BLEND), first), _blends(rng, found, np.flatnonzero(origin == GROUP), first, many=True)]
    pieces += [_hosts(rng, found, np.flatnonzero(np.isin(origin, (EJECTA, KNOTS, OUTSKIRTS, EDGE))), first)]
    pieces += [_strings(rng, found, np.flatnonzero(np.isin(origin, (EJECTA, CIRRUS, GHOST))), first)]
    pieces += [_stars(rng, found, np.flatnonzero(np.isin(origin, (GHOST, STAR_HALO))), first)]
    return np.concatenate(pieces)


def brightness(found: Bodies, band: str) -> dict[str, np.ndarray]:
    """Magnitude, and mean (within the half-light radius), effective and central surface brightness in a band (Graham and Driver 2005, equations 7 to 9)."""
    index = found.index
    b = 2 * index - 1 / 3 + 0.009876 / index
    magnitude = seds.magnitudes(found.flux[:, ALL_BANDS.index(band)])
    mean = magnitude + 2.5 * np.log10(2 * np.pi * found.radius**2 * found.q)
    effective = mean + 2.5 * np.log10(index * np.exp(b) * b ** (-2 * index) * gamma_function(2 * index))
    return {"mag": magnitude, "mean": mean, "eff": effective, "max": effective - 1.0857 * b}


def _odd_colours(rng: np.random.Generator, colour: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """Reflections have no star's colours, cirrus that of dust which scatters blue light."""
    ghost = origin == GHOST
    return np.where(ghost[:, None], colour * np.exp(rng.normal(0, 0.35, colour.shape)), colour)


def _take(found: Bodies, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return found.ra[at], found.dec[at]


def _galaxies(rng: np.random.Generator, found: Bodies, first: int) -> np.ndarray:
    """A smooth body; in blue ones knots and a lopsided second body, in some a nucleus."""
    at = np.flatnonzero(found.origin < 0)
    knotted = rng.random(len(at)) < np.where(found.flux[at, 1] > 0.62 * found.flux[at, 2], 0.5, 0.08)
    lopsided = rng.random(len(at)) < 0.3
    nucleus = rng.random(len(at)) < 0.15
    taken = 0.16 * knotted + 0.2 * lopsided + 0.03 * nucleus
    body = new_parts(
        *_take(found, at), found.flux[at] * (1 - taken)[:, None], owner=at + first, n=found.index[at], radius=found.radius[at], q=found.q[at], pa=found.pa[at]
    )
    second = at[lopsided]
    shift = rng.normal(0, 0.35, (2, len(second))) * found.radius[second]
    side = new_parts(
        *_take(found, second), found.flux[second] * 0.2, owner=second + first, n=0.7, radius=0.6 * found.radius[second], q=0.7,
        pa=rng.uniform(0, np.pi, len(second)), east=shift[0], north=shift[1],
    )  # fmt: skip
    rows = np.repeat(at[knotted], 4)
    shift = rng.normal(0, 0.55, (2, len(rows))) * found.radius[rows]
    share = rng.dirichlet(np.ones(4), knotted.sum()).ravel()
    blue = found.flux[rows] * (0.16 * share)[:, None] * 10 ** (-0.4 * np.array([-0.4, -0.25, 0, 0.1, 0.2, 0.2, 1, 1.4]))
    knots = new_parts(*_take(found, rows), blue, owner=rows + first, n=0.5, radius=0.5, east=shift[0], north=shift[1])
    core = new_parts(*_take(found, at[nucleus]), found.flux[at[nucleus]] * 0.03, owner=at[nucleus] + first, shape=POINT)
    return np.concatenate([body, side, knots, core])


def _halo(found: Bodies, first: int) -> np.ndarray:
    """The diffuse light of artifacts that are not made of strings."""
    share = np.select(
        [np.isin(found.origin, (BLEND, GROUP)), found.origin == KNOTS, np.isin(found.origin, (OUTSKIRTS, EDGE, STAR_HALO)), found.origin == COMPACT],
        [0.62, 0.5, 0.4, 1.0],
        0.0,
    )
    at = np.flatnonzero((found.origin >= 0) & (share > 0))
    radius = found.radius[at] * np.where(found.origin[at] == COMPACT, 0.55, 1.15)
    return new_parts(*_take(found, at), found.flux[at] * share[at, None], owner=at + first, n=found.index[at], radius=radius, q=found.q[at], pa=found.pa[at])


def _blends(rng: np.random.Generator, found: Bodies, at: np.ndarray, first: int, many: bool = False) -> np.ndarray:
    """Compact sources of various colours on or beside the body."""
    count = rng.integers(5, 10, len(at)) if many else rng.integers(2, 5, len(at))
    rows = np.repeat(at, count)
    spread = np.where(many, 1.0, 0.45)
    shift = rng.normal(0, spread, (2, len(rows))) * found.radius[rows]
    flux = np.sum(found.flux[rows], axis=1, where=[False, False, True] + [False] * 5)  # r
    share = 0.55 * rng.gamma(2.0, 0.5, len(rows)) / np.repeat(count, count)
    colour = seds.population(rng.uniform(0.1, 0.4, len(rows)), rng.beta(0.8, 0.8, len(rows)))
    return new_parts(
        *_take(found, rows), colour * (flux * share)[:, None], owner=rows + first, n=1.5, radius=rng.uniform(0.15, 0.7, len(rows)),
        q=rng.uniform(0.4, 1, len(rows)), pa=rng.uniform(0, np.pi, len(rows)), east=shift[0], north=shift[1],
    )  # fmt: skip


def _hosts(rng: np.random.Generator, found: Bodies, at: np.ndarray, first: int) -> np.ndarray:
    """The larger galaxy beside which the body lies: a spiral, an elliptical or something upset."""
    origin = found.origin[at]
    away = np.where(origin == EDGE, rng.uniform(5, 11, len(at)), rng.uniform(9, 20, len(at)))
    angle = rng.uniform(0, 2 * np.pi, len(at))
    kind = np.select([origin == KNOTS, origin == OUTSKIRTS, origin == EJECTA], [LOOSE, ROUND, TIGHT], rng.choice([ROUND, LOOSE], len(at)))
    dec = found.dec[at] + away * np.cos(angle) / 3600
    ra = (found.ra[at] + away * np.sin(angle) / 3600 / np.cos(np.radians(dec))) % 360
    r = np.where(origin == EJECTA, rng.uniform(16.2, 18.8, len(at)), rng.uniform(15.0, 17.6, len(at)))
    host = draw(rng, kind, ra, dec, r, rng.uniform(0.01, 0.06, len(at)))
    host.radius[:] = np.clip(
        away * np.select([origin == KNOTS, origin == OUTSKIRTS, origin == EDGE], [0.62, 0.55, 0.6], 0.3) * rng.uniform(0.8, 1.2, len(at)), 2.0, 14.0
    )
    host.pa[:] = np.where(origin == KNOTS, angle + rng.normal(0, 0.3, len(at)), host.pa)  # the body lies on the long side of the spiral
    host.clumps[:] = np.where(origin == KNOTS, 0.07, host.clumps)
    parts = parts_of(rng, host)
    parts["owner"] = at[parts["owner"]] + first
    rows = np.repeat(at[origin == KNOTS], 5)
    along, across = rng.normal(0, 0.9, len(rows)) * found.radius[rows], rng.normal(0, 0.45, len(rows)) * found.radius[rows]
    shift = offsets(along, across, found.pa[rows])
    knots = new_parts(
        *_take(found, rows), 0.1 * found.flux[rows], owner=rows + first, n=0.5, radius=rng.uniform(0.35, 1.0, len(rows)), east=shift[0], north=shift[1]
    )
    return np.concatenate([parts, knots])


def _strings(rng: np.random.Generator, found: Bodies, at: np.ndarray, first: int, blobs: int = 11) -> np.ndarray:
    """Curved bands of light through the body's place: short plumes, long cirrus, rings of ghosts."""
    origin = found.origin[at]
    length = found.radius[at] * np.select([origin == CIRRUS, origin == GHOST], [7.0, 3.5], 2.4)
    width = found.radius[at] * np.select([origin == CIRRUS, origin == GHOST], [1.1, 0.45], 0.5)
    bend = np.select([origin == CIRRUS, origin == GHOST], [rng.normal(0, 0.25, len(at)), rng.choice([-1.0, 1.0], len(at)) * 1.1], rng.normal(0, 0.6, len(at)))
    light = np.select([origin == CIRRUS, origin == GHOST], [2.6, 1.3], 0.9)
    step = np.tile(np.linspace(-0.5, 0.5, blobs), len(at))
    rows = np.repeat(at, blobs)
    long, wide, turn = (np.repeat(values, blobs) for values in (length, width, bend))
    shift = offsets(long * step, turn * long * (step**2 - 0.05) + rng.normal(0, 0.15, len(rows)) * wide, found.pa[rows])
    flux = found.flux[rows] * (np.repeat(light, blobs) / blobs * rng.lognormal(0, 0.3, len(rows)))[:, None]
    slope = np.arctan(2 * turn * step)
    return new_parts(
        *_take(found, rows), flux, owner=rows + first, n=0.5, radius=np.maximum(long / blobs, wide), q=np.clip(wide / np.maximum(long / blobs, wide), 0.3, 1),
        pa=found.pa[rows] + slope, east=shift[0], north=shift[1],
    )  # fmt: skip


def _stars(rng: np.random.Generator, found: Bodies, at: np.ndarray, first: int) -> np.ndarray:
    """A bright star near the body, with its halo and the spikes of the spider."""
    ghost = found.origin[at] == GHOST
    away, angle = np.where(ghost, rng.uniform(8, 22, len(at)), rng.uniform(6, 17, len(at))), rng.uniform(0, 2 * np.pi, len(at))
    shift: dict[str, Any] = {"east": away * np.sin(angle), "north": away * np.cos(angle)}
    colour = seds.stars(rng.choice([0.5, 0.8, 1.3], len(at)) + rng.normal(0, 0.1, len(at)))
    flux = colour * seds.nanomaggies(np.where(ghost, rng.uniform(13, 15.5, len(at)), rng.uniform(11.5, 14.5, len(at))))[:, None]
    star = new_parts(*_take(found, at), flux, owner=at + first, shape=POINT, **shift)
    halo = new_parts(*_take(found, at), 0.012 * flux, owner=at + first, n=1.0, radius=8.0, **shift)
    spikes = [
        new_parts(*_take(found, at), 0.006 * flux, owner=at + first, n=1.0, radius=11.0, q=0.035, pa=turn, **shift) for turn in (np.pi / 4, 3 * np.pi / 4)
    ]
    return np.concatenate([star, halo, *spikes])
