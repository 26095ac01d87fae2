"""Names of the files behind Data Lab's cutouts and the places they cover: bricks of the Legacy Surveys, tiles of DES."""

import math
import re
from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS

_BRICK = re.compile(r"legacysurvey-(\d{4})([pm])(\d{3})-image-([a-z])\.fits\.fz")
_TILE = re.compile(r"DES(\d{2})(\d{2})([+-])(\d{2})(\d{2})_r\d+p\d+_([a-zY])(_nobkg)?\.fits\.fz")

BRICK_PIXELS, BRICK_PIXSCALE = 3600, 0.262
TILE_PIXELS, TILE_PIXSCALE = 10_000, 0.263


@dataclass(frozen=True)
class Plane:
    """One image file: its name, its survey ("ls" or "des"), band, centre in degrees, side in pixels, pixel in arcsec."""

    name: str
    survey: str
    band: str
    ra: float
    dec: float
    pixels: int
    pixscale: float

    @property
    def wcs(self) -> WCS:
        """Tangent plane at the centre, north up."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [self.ra, self.dec]
        wcs.wcs.crpix = [(self.pixels + 1) / 2] * 2
        wcs.wcs.cd = np.diag([-self.pixscale / 3600, self.pixscale / 3600])
        return wcs


def plane_of(reference: str) -> Plane | None:
    """The file that a `siaRef` names, or None if it is no such name."""
    if match := _BRICK.fullmatch(reference):
        centre = brick_centre(f"{match[1]}{match[2]}{match[3]}")
        return None if centre is None else Plane(reference, "ls", match[4], *centre, BRICK_PIXELS, BRICK_PIXSCALE)
    if match := _TILE.fullmatch(reference):
        # A tile's name is its centre in hours and minutes, degrees and minutes, cut off.
        dec = (int(match[4]) + int(match[5]) / 60) * (-1 if match[3] == "-" else 1)
        return Plane(reference, "des", match[6], 15 * (int(match[1]) + int(match[2]) / 60), dec, TILE_PIXELS, TILE_PIXSCALE)
    return None


def brick_centre(name: str) -> tuple[float, float] | None:
    """RA and Dec in degrees of the centre of a brick such as ``1867p255``; None if there is no such brick.

    The survey's grid: rows of a quarter of a degree, each with the smallest even number of bricks that makes none wider than that at the row's wider edge; a
    name is the tenths of a degree of the centre, cut off. (Rule inferred from the rows of the survey's table of bricks, and tested on them.)
    """
    right, sign, up = int(name[:4]), 1 if name[4] == "p" else -1, int(name[5:])
    quarters = math.ceil(up * 4 / 10)
    if quarters * 10 // 4 != up or quarters > 360:
        return None
    wider = math.radians(max(quarters * 0.25 - 0.125, -0.125) if quarters else 0.125)
    count = 1 if quarters == 360 else 2 * math.ceil(720 * math.cos(wider) - 1e-9)
    column = max(math.ceil((right * count / 1800 - 1) / 2), 0)
    if column >= count or (2 * column + 1) * 1800 // count != right:
        return None
    return (column + 0.5) * 360 / count, sign * quarters * 0.25
