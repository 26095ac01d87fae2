"""What a field is in memory: objects, and the parts of which each is made.

Arrays for many objects; drawn by `tuningfork.sky.galaxies`, painted by `tuningfork.sky.render`, judged by `tuningfork.sky.votes`.
"""

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS

SPHEROID, DISK, IRREGULAR, POINT = range(4)
KINDS = ("spheroid", "disk", "irregular", "point source")

SERSIC, SPIRAL, KNOT, STAR, ARC = range(5)

BULGE_LIGHT, DISK_LIGHT, CLUMP_LIGHT, POINT_LIGHT = range(4)
"""What a part's light counts as when people judge a galaxy's morphology."""

PART = np.dtype(
    [
        ("owner", "i4"),
        ("shape", "i1"),
        ("light", "i1"),
        ("dx", "f8"),
        ("dy", "f8"),
        ("n", "f8"),
        ("radius", "f8"),
        ("q", "f8"),
        ("pa", "f8"),
        ("amplitude", "f8"),
        ("arms", "f8"),
        ("pitch", "f8"),
        ("phase", "f8"),
        ("share", "f8"),
        ("young", "f8"),
    ]
)
"""A part: offsets and radius in arcsec, angles in radians from +x, `share` of the owner's F160W flux, `young` of that from young stars."""


@dataclass(frozen=True)
class Population:
    """Everything in one field, before telescope and noise.

    Attributes
    ----------
    name, scale, side : str, float, int
        Field token, arcsec per pixel, pixels a side.
    bands : tuple of str
        Filters of the columns of `part_flux`.
    x, y : ndarray, shape (n,)
        True centres, 1-based FITS pixels.
    kind, member, redshift, h_total, radius, q, pa, structure, clumpiness, merger : ndarray, shape (n,)
        Type (`KINDS`), cluster membership, redshift, total F160W AB magnitude, half-light radius in arcsec of the whole, axis ratio, position
        angle (rad from +x), strength of arms and bar, share of clumps, and strength of a merger's disturbance (0 to 1).
    parts : ndarray of `PART`
        All parts of all objects; owner -1 is light that belongs to no catalogued object (intracluster light and arcs, about `centre`).
    part_flux : ndarray, shape (parts, bands)
        Microjansky.
    wcs : WCS
        TAN projection of the mosaic.
    centre : tuple of float
        The brightest galaxy of a cluster (1-based pixels), or the middle of the field.
    redshift_of_cluster : float
        0 for a blank field.
    """

    name: str
    scale: float
    side: int
    bands: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    kind: np.ndarray
    member: np.ndarray
    redshift: np.ndarray
    h_total: np.ndarray
    radius: np.ndarray
    q: np.ndarray
    pa: np.ndarray
    structure: np.ndarray
    clumpiness: np.ndarray
    merger: np.ndarray
    parts: np.ndarray
    part_flux: np.ndarray
    wcs: WCS
    centre: tuple[float, float]
    redshift_of_cluster: float

    def __len__(self) -> int:
        return len(self.x)

    def flux(self, light: int | None = None) -> np.ndarray:
        """Microjansky of every object in every band, shape (n, bands); of one kind of light only if given."""
        total = np.zeros((len(self), len(self.bands)))
        rows = self.parts["owner"] >= 0
        if light is not None:
            rows &= self.parts["light"] == light
        np.add.at(total, self.parts["owner"][rows], self.part_flux[rows])
        return total

    def magnitude(self, band: str) -> np.ndarray:
        """True total AB magnitude in a band, shape (n,)."""
        return 23.9 - 2.5 * np.log10(np.maximum(self.flux()[:, self.bands.index(band)], 1e-12))


def tangent_wcs(side: int, scale: float, ra: float, dec: float) -> WCS:
    """North-up TAN projection of a square mosaic centred on (ra, dec) in degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [side / 2 + 0.5, side / 2 + 0.5]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.cd = [[-scale / 3600, 0.0], [0.0, scale / 3600]]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def petrosian_over_half_light(index: np.ndarray) -> np.ndarray:
    """Petrosian radius (eta = 0.2) in units of r_e for a Sersic index (interpolated between values of the analytic profile)."""
    return np.interp(index, [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0], [1.959, 2.158, 2.215, 2.196, 2.041, 1.820, 1.585, 1.359])
