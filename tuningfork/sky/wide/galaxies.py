"""Galaxies by what they are made of: bulge, disk with arms, bar, clumps, dust, companions; and the parts of light that follow."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from tuningfork.sky.wide import seds
from tuningfork.sky.wide.parts import SERSIC, SPIRAL, new_parts, offsets

EDGE_ON = 0.28
"""Disks thinner than this axis ratio show no arms, but their dust lane."""


@dataclass(frozen=True)
class Galaxies:
    """Many galaxies, one array each.

    Attributes
    ----------
    ra, dec, redshift : ndarray, shape (n,)
        Degrees, degrees, -.
    r : ndarray
        Total AB magnitude in the r band of the sky.
    radius : ndarray
        Half-light radius of the disk (of the bulge, where there is no disk) along the major axis, arcsec.
    q, pa : ndarray
        Apparent axis ratio, position angle in radians.
    bulge, bulge_index, bulge_size : ndarray
        Share of the light, Sersic index, half-light radius over `radius`.
    structure, arms, pitch : ndarray
        Strength of the arms (0 to 1), their number, their opening angle in radians.
    bar, bar_length, bar_turn : ndarray
        Share of the light, half-light radius over `radius`, angle to the major axis.
    clumps : ndarray
        Share of the light in star-forming knots.
    young, metals, nebula : ndarray
        As in `tuningfork.sky.wide.seds.population`, for the disk.
    dust, lane : ndarray
        Face-on extinction in r (mag); strength of the dust lane of an edge-on disk (0 to 1).
    merger, disturbed : ndarray
        Strength of a second nucleus with tails, and of a lopsided or shell-like disturbance (0 to 1).
    """

    ra: np.ndarray
    dec: np.ndarray
    redshift: np.ndarray
    r: np.ndarray
    radius: np.ndarray
    q: np.ndarray
    pa: np.ndarray
    bulge: np.ndarray
    bulge_index: np.ndarray
    bulge_size: np.ndarray
    structure: np.ndarray
    arms: np.ndarray
    pitch: np.ndarray
    bar: np.ndarray
    bar_length: np.ndarray
    bar_turn: np.ndarray
    clumps: np.ndarray
    young: np.ndarray
    metals: np.ndarray
    nebula: np.ndarray
    dust: np.ndarray
    lane: np.ndarray
    merger: np.ndarray
    disturbed: np.ndarray

    def __len__(self) -> int:
        return len(self.r)

    def take(self, rows: np.ndarray) -> "Galaxies":
        """Some of them."""
        return Galaxies(**{column.name: getattr(self, column.name)[rows] for column in fields(self)})

    @property
    def edge_on(self) -> np.ndarray:
        """Whether a galaxy is a disk seen from the side."""
        return (self.q < EDGE_ON) & (self.bulge < 0.95)


def parts_of(rng: np.random.Generator, galaxies: Galaxies, first: int = 0) -> np.ndarray:
    """Parts of light of all galaxies, numbered from `first`; array of `PART`. The r-band fluxes of a galaxy's parts sum to its magnitude."""
    tilt = np.where(galaxies.bulge < 0.95, 1 / np.clip(galaxies.q, 0.22, 1.0), 1.0)
    colours = _Colours(galaxies, galaxies.dust * tilt)
    added = np.minimum(galaxies.clumps + 0.34 * galaxies.merger + 0.22 * galaxies.disturbed + galaxies.bar, 0.7)
    disk = np.maximum(1 - galaxies.bulge, 0) * (1 - added)
    bulge = galaxies.bulge * (1 - added)
    groups = [_disks(galaxies, disk, colours, first), _bulges(galaxies, bulge, colours, first), _bars(galaxies, colours, first)]
    groups += [_clumps(rng, galaxies, colours, first), _companions(rng, galaxies, colours, first), _disturbances(rng, galaxies, colours, first)]
    return np.concatenate(groups)


def total_flux(parts: np.ndarray, first: int, number: int) -> np.ndarray:
    """Summed nanomaggies of objects `first` to `first + number`, shape (number, 8)."""
    own = (parts["owner"] >= first) & (parts["owner"] < first + number)
    total = np.zeros((number, parts["flux"].shape[1]))
    np.add.at(total, parts["owner"][own] - first, parts["flux"][own])
    return total


class _Colours:
    """Fluxes of the kinds of light of each galaxy relative to r."""

    def __init__(self, galaxies: Galaxies, extinction: np.ndarray) -> None:
        old = seds.population(galaxies.redshift, 0.04 + 0.25 * galaxies.young, galaxies.metals)
        fresh = seds.population(galaxies.redshift, 0.55 + 0.45 * galaxies.young, galaxies.metals, galaxies.nebula)
        knots = seds.population(galaxies.redshift, np.full(len(galaxies), 1.0), galaxies.metals, 0.25 + 0.75 * galaxies.nebula)
        core = seds.population(galaxies.redshift, 0.05 * galaxies.young, galaxies.metals + 0.1)
        self.flux = seds.nanomaggies(galaxies.r)
        self.old, self.fresh = seds.dusty(old, extinction), seds.dusty(fresh, extinction)
        self.knots, self.core = seds.dusty(knots, 0.6 * extinction), seds.dusty(core, 0.4 * extinction)
        self.extinction = extinction

    def of(self, kind: str, rows: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Nanomaggies in all bands of `share` of the r-band light of galaxies `rows`."""
        return getattr(self, kind)[rows] * (self.flux[rows] * share)[:, None]


def _disks(galaxies: Galaxies, share: np.ndarray, colours: _Colours, first: int) -> np.ndarray:
    at = np.flatnonzero(share > 0.004)
    thin = galaxies.edge_on[at]
    light = galaxies.young[at] * 0.8
    common: dict[str, Any] = {
        "owner": at + first, "q": galaxies.q[at], "pa": galaxies.pa[at], "arms": galaxies.arms[at], "pitch": galaxies.pitch[at],
        "phase": 6.283 * ((galaxies.pa[at] * 7.3) % 1.0),
    }  # fmt: skip
    place = galaxies.ra[at], galaxies.dec[at]
    old = new_parts(*place, colours.of("old", at, share[at] * (1 - light)), radius=galaxies.radius[at], amplitude=0.45 * galaxies.structure[at], **common)
    fresh = new_parts(*place, colours.of("fresh", at, share[at] * light), radius=1.12 * galaxies.radius[at], amplitude=galaxies.structure[at], **common)
    for parts in (old, fresh):
        parts["shape"] = np.where(thin | (galaxies.structure[at] < 0.02), SERSIC, SPIRAL)
    laned = np.flatnonzero(thin & (galaxies.lane[at] > 0))
    rows = at[laned]
    # what dust takes away is redder than none: it is blue light that is lost
    taken = -0.15 * galaxies.lane[rows] * share[rows]
    lost = colours.of("old", rows, taken) * np.clip(1.0 + 0.18 * np.log10(np.maximum(colours.old[rows] ** -1, 1e-3)), 0.25, 1.15)
    lane = new_parts(
        galaxies.ra[rows],
        galaxies.dec[rows],
        lost,
        owner=rows + first,
        n=0.5,
        radius=0.75 * galaxies.radius[rows],
        q=0.26 * galaxies.q[rows],
        pa=galaxies.pa[rows],
    )
    for parts in (old, fresh):  # the disk makes up for it, so that the total stays
        parts["flux"][laned] *= 1 + 0.15 * galaxies.lane[rows][:, None]
    return np.concatenate([old, fresh, lane])


def _bulges(galaxies: Galaxies, share: np.ndarray, colours: _Colours, first: int) -> np.ndarray:
    at = np.flatnonzero(share > 0.004)
    pure = galaxies.bulge[at] >= 0.95
    q = np.where(pure, galaxies.q[at], np.clip(galaxies.q[at] + 0.45 * (1 - galaxies.q[at]), 0.3, 1))
    size = galaxies.radius[at] * np.where(pure, 1.0, galaxies.bulge_size[at])
    return new_parts(
        galaxies.ra[at], galaxies.dec[at], colours.of("core", at, share[at]),
        owner=at + first, n=galaxies.bulge_index[at], radius=size, q=q, pa=galaxies.pa[at],
    )  # fmt: skip


def _bars(galaxies: Galaxies, colours: _Colours, first: int) -> np.ndarray:
    at = np.flatnonzero((galaxies.bar > 0.005) & (galaxies.q >= EDGE_ON))
    long, short = np.cos(galaxies.bar_turn[at]), np.sin(galaxies.bar_turn[at]) * galaxies.q[at]  # a bar in the plane of the tilted disk
    stretch, turn = np.hypot(long, short), np.arctan2(short, long)
    return new_parts(
        galaxies.ra[at], galaxies.dec[at], colours.of("core", at, galaxies.bar[at]),
        owner=at + first, n=0.55, radius=galaxies.radius[at] * galaxies.bar_length[at] * stretch,
        q=np.clip(0.26 / stretch, 0.15, 0.6), pa=galaxies.pa[at] + turn,
    )  # fmt: skip


def _clumps(rng: np.random.Generator, galaxies: Galaxies, colours: _Colours, first: int) -> np.ndarray:
    """Knots in the plane of the disk; with arms, along them."""
    at = np.flatnonzero((galaxies.clumps > 0.005) & (galaxies.bulge < 0.95))
    count = rng.integers(6, 18, len(at))
    rows = np.repeat(at, count)
    distance = rng.uniform(0.7, 3.4, len(rows))  # scale lengths
    armed = rng.random(len(rows)) < galaxies.structure[rows]
    phase = 6.283 * ((galaxies.pa[rows] * 7.3) % 1.0)
    crest = (2 * np.pi * rng.integers(0, 8, len(rows)) - phase) / galaxies.arms[rows] + np.log(distance) / np.tan(galaxies.pitch[rows])
    angle = np.where(armed, crest + rng.normal(0, 0.12, len(rows)), rng.uniform(0, 2 * np.pi, len(rows)))
    length = galaxies.radius[rows] / 1.678
    east, north = offsets(length * distance * np.cos(angle), length * distance * np.sin(angle) * galaxies.q[rows], galaxies.pa[rows])
    # the painter measures angles from the major axis (north through east) with x to the west: its "across" is the other way round
    east, north = (
        2 * length * distance * np.cos(angle) * np.sin(galaxies.pa[rows]) - east,
        2 * length * distance * np.cos(angle) * np.cos(galaxies.pa[rows]) - north,
    )
    weight = (rng.gamma(1.2, 1.0, len(rows)) + 0.3) * distance * np.exp(-0.8 * distance)
    weight /= np.bincount(rows, weight, len(galaxies))[rows]
    return new_parts(
        galaxies.ra[rows], galaxies.dec[rows], colours.of("knots", rows, galaxies.clumps[rows] * weight),
        owner=rows + first, n=0.5, radius=galaxies.radius[rows] * rng.uniform(0.07, 0.2, len(rows)), east=east, north=north,
    )  # fmt: skip


def _companions(rng: np.random.Generator, galaxies: Galaxies, colours: _Colours, first: int) -> np.ndarray:
    """The other galaxy of a merger, and a tail on each side."""
    at = np.flatnonzero(galaxies.merger > 0)
    distance, angle = galaxies.radius[at] * rng.uniform(0.8, 2.0, len(at)), rng.uniform(0, 2 * np.pi, len(at))
    share = 0.24 * galaxies.merger[at]
    common: dict[str, Any] = {"east": distance * np.sin(angle), "north": distance * np.cos(angle), "owner": at + first}
    q, pa = rng.uniform(0.4, 1, len(at)), rng.uniform(0, np.pi, len(at))
    place = galaxies.ra[at], galaxies.dec[at]
    nucleus = new_parts(*place, colours.of("core", at, 0.4 * share), n=2.0, radius=0.22 * galaxies.radius[at], q=np.sqrt(q), pa=pa, **common)
    body = new_parts(*place, colours.of("old", at, 0.6 * share), n=1.0, radius=galaxies.radius[at] * rng.uniform(0.4, 0.8, len(at)), q=q, pa=pa, **common)
    tails = [
        _tail(rng, galaxies, at, colours.of("fresh", at, 0.05 * galaxies.merger[at]), angle + turn, first, reach)
        for turn, reach in ((0.4, 2.6), (np.pi + 0.4, 2.2))
    ]
    return np.concatenate([nucleus, body, *tails])


def _disturbances(rng: np.random.Generator, galaxies: Galaxies, colours: _Colours, first: int) -> np.ndarray:
    """Lopsided plumes, tidal arms and shells of a galaxy that something has upset."""
    at = np.flatnonzero(galaxies.disturbed > 0)
    angle = rng.uniform(0, 2 * np.pi, len(at))
    away = galaxies.radius[at] * rng.uniform(0.5, 1.2, len(at))
    plume = new_parts(
        galaxies.ra[at], galaxies.dec[at], colours.of("old", at, 0.12 * galaxies.disturbed[at]), owner=at + first, n=0.8,
        radius=galaxies.radius[at] * rng.uniform(0.8, 1.4, len(at)), q=rng.uniform(0.4, 0.8, len(at)), pa=angle + rng.normal(0, 0.5, len(at)),
        east=away * np.sin(angle), north=away * np.cos(angle),
    )  # fmt: skip
    flux = colours.of("fresh", at, 0.06 * galaxies.disturbed[at])
    shell = _tail(rng, galaxies, at, 0.04 / 0.06 * flux, angle + np.pi, first, 1.6, turn=1.8)
    return np.concatenate([plume, _tail(rng, galaxies, at, flux, angle, first, 2.4), shell])


def _tail(
    rng: np.random.Generator, galaxies: Galaxies, at: np.ndarray, flux: np.ndarray, angle: np.ndarray, first: int, far: float, turn: float = 1.1, blobs: int = 9
) -> np.ndarray:
    """A curved string of blobs that starts at one radius, `far` radii long, fading; `flux` (n, 8) is its total."""
    step = np.tile(np.linspace(0, 1, blobs), len(at))
    rows = np.repeat(at, blobs)
    bend = np.repeat(rng.choice([-1, 1], len(at)) * rng.uniform(0.6, 1.2, len(at)) * turn, blobs) * step
    where = np.repeat(angle, blobs) + bend
    distance = galaxies.radius[rows] * (0.8 + far * step)
    fading = np.linspace(1.5, 0.5, blobs) / blobs
    return new_parts(
        galaxies.ra[rows], galaxies.dec[rows], np.repeat(flux, blobs, axis=0) * np.tile(fading, len(at))[:, None],
        owner=rows + first, n=0.5,
        radius=galaxies.radius[rows] * (0.26 + 0.12 * step), q=0.75, pa=where + 1.2 * np.sign(bend),
        east=distance * np.sin(where), north=distance * np.cos(where),
    )  # fmt: skip
