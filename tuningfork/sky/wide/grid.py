"""Pixels that are attached to the sky: noise and missing data that are the same in every cutout that shows them.

The sphere is cut into strips of declination; in a strip, columns run along right ascension. White noise is a hash of (seed, layer, band, strip, row,
column), so nothing is stored and any cutout draws what another one drew at the same place.
"""

import functools
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from tuningfork.files import digest_of

STRIP_DEG = 0.1
BRICK_DEG = 0.25

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(0x9E3779B97F4A7C15))
_TAPS = np.array([0.15, 0.70, 0.15], dtype=np.float32)
"""The noise of neighbouring native pixels is correlated a little, as resampling makes it; the sum of 1 keeps the depth in an aperture."""


@dataclass(frozen=True)
class Frame:
    """Where the pixels of a north-up TAN picture lie (Calabretta and Greisen 2002).

    Attributes
    ----------
    ra0, dec0 : float
        Centre, degrees.
    scale : float
        Arcsec per pixel.
    rows, columns : int
    """

    ra0: float
    dec0: float
    scale: float
    rows: int
    columns: int

    def at(self, column: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RA and Dec in degrees of 0-based pixels (arrays that broadcast); columns run west, rows north."""
        step = np.radians(self.scale / 3600)
        xi, eta = -(column - (self.columns - 1) / 2) * step, (row - (self.rows - 1) / 2) * step
        sine, cosine = np.sin(np.radians(self.dec0)), np.cos(np.radians(self.dec0))
        depth = cosine - eta * sine
        return (self.ra0 + np.degrees(np.arctan2(xi, depth))) % 360, np.degrees(np.arctan2(sine + eta * cosine, np.hypot(xi, depth)))

    @functools.cached_property
    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """RA and Dec of the outer pixels' centres: corners and middles of the sides."""
        column, row = np.array([0, 0.5, 1, 0, 1, 0, 0.5, 1]) * (self.columns - 1), np.array([0, 0, 0, 0.5, 0.5, 1, 1, 1]) * (self.rows - 1)
        return self.at(column, row)

    @functools.cached_property
    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """RA and Dec of all pixels, shape (rows, columns)."""
        return self.at(np.arange(self.columns)[None, :], np.arange(self.rows)[:, None])


def noise(seed: int, layer: str, band: str, pixscale: float, frame: Frame) -> np.ndarray:
    """Noise of a layer and band, in units of the rms of white native pixels.

    Parameters
    ----------
    seed : int
    layer, band : str
    pixscale : float
        Native pixel in arcsec.
    frame : Frame
        The picture; its pixels may be finer than the native ones.

    Returns
    -------
    ndarray, float32, shape (rows, columns)
    """
    result = np.empty((frame.rows, frame.columns), dtype=np.float32)
    dec = frame.at(np.array((frame.columns - 1) / 2), np.arange(frame.rows))[1]
    strip = np.floor((dec + 90) / STRIP_DEG).astype(np.int64)
    for number in np.unique(strip):
        rows = np.flatnonzero(strip == number)
        around = columns_around(number, pixscale)
        y = (dec[rows] + 90 - number * STRIP_DEG) * 3600 / pixscale
        # one mapping of columns for all rows of the strip: over a cutout the meridians converge by less than a tenth of a pixel
        x = _unwrapped(frame.at(np.arange(frame.columns), rows[len(rows) // 2])[0]) / 360 * around
        x0, y0 = int(np.floor(x.min())) - 2, int(np.floor(y.min())) - 2
        width, height = int(np.ceil(x.max())) + 3 - x0, int(np.ceil(y.max())) + 3 - y0
        key = int(digest_of([seed, layer, band, int(number)])[:15], 16)
        block = _smooth(_white(key, x0 - 1, y0 - 1, width + 2, height + 2, around))
        result[rows] = _across(_across(block, y - y0).T, x - x0).T
    return result


def columns_around(strip: int, pixscale: float) -> int:
    """How many pixels of `pixscale` arcsec a strip has around the sky."""
    return max(round(360 * 3600 * np.cos(np.radians(strip * STRIP_DEG + STRIP_DEG / 2 - 90)) / pixscale), 1)


def missing(seed: int, layer: str, bands: tuple[str, ...], fraction: float, frame: "Frame") -> dict[str, np.ndarray]:
    """Where strips within bricks were not observed: of `fraction` of all bricks, 20 to 90 arcsec across, in one of the survey's `bands` each.

    Returns
    -------
    dict
        Band -> bool array of the frame's shape, for those bands that miss something.
    """
    found: dict[str, np.ndarray] = {}
    if fraction <= 0:
        return found
    corner_ra, corner_dec = frame.corners
    for line in range(*_span((corner_dec + 90) / BRICK_DEG)):
        around = max(int(360 * np.cos(np.radians(line * BRICK_DEG + BRICK_DEG / 2 - 90)) / BRICK_DEG), 1)
        for number in range(*_span(_unwrapped(corner_ra) / 360 * around)):
            one, two, three, four = _uniforms(seed, layer, line, number % around)
            if one >= fraction:
                continue
            ra, dec = frame.positions
            place, height = (ra % 360) / 360 * around, (dec + 90) / BRICK_DEG
            inside = (np.floor(place) == number % around) & (np.floor(height) == line)
            middle, half = 0.1 + 0.8 * three, (10 + 35 * four) / 3600 / BRICK_DEG
            across = height - line if one < fraction / 2 else place - number % around
            band = bands[int(two * len(bands))]
            found[band] = found.get(band, False) | (inside & (np.abs(across - middle) < half))
    return found


def _span(values: np.ndarray) -> tuple[int, int]:
    return int(np.floor(values.min())), int(np.floor(values.max())) + 1


@functools.lru_cache(maxsize=4096)
def _uniforms(seed: int, layer: str, row: int, column: int) -> tuple[float, float, float, float]:
    digest = digest_of(["brick", seed, layer, row, column])
    one, two, three, four = (int(digest[k : k + 8], 16) / 2**32 for k in range(0, 32, 8))
    return one, two, three, four


def _unwrapped(ra: np.ndarray) -> np.ndarray:
    """Right ascensions within 180 degrees of the first (no jump from 360 to 0)."""
    return ra[0] + (ra - ra[0] + 180) % 360 - 180


@functools.cache
def _normal_table() -> np.ndarray:
    return ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)


def _white(key: int, x0: int, y0: int, width: int, height: int, around: int) -> np.ndarray:
    """Independent standard normal numbers at integer places, float32, shape (height, width)."""
    x = ((np.arange(x0, x0 + width) % around).astype(np.uint64) + np.uint64(1)) * _MIX[2]
    y = (np.arange(y0, y0 + height).astype(np.int64).astype(np.uint64) + np.uint64(0x632BE59BD9B4E019)) * _MIX[0]
    state = (y ^ np.uint64(key))[:, None] + x[None, :]
    state ^= state >> np.uint64(30)
    state *= _MIX[0]
    state ^= state >> np.uint64(27)
    state *= _MIX[1]
    return _normal_table()[(state >> np.uint64(48)).astype(np.uint16)]


def _smooth(block: np.ndarray) -> np.ndarray:
    side, middle, _ = _TAPS
    block = middle * block[1:-1] + side * (block[:-2] + block[2:])
    return middle * block[:, 1:-1] + side * (block[:, :-2] + block[:, 2:])


def _across(block: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Rows of `block` at fractional places, by cubic convolution (Keys 1981, a = -0.5)."""
    low = np.floor(place).astype(int)
    t = (place - low).astype(np.float32)[:, None]
    weights = (-0.5 * t + t**2 - 0.5 * t**3, 1 - 2.5 * t**2 + 1.5 * t**3, 0.5 * t + 2 * t**2 - 1.5 * t**3, -0.5 * t**2 + 0.5 * t**3)
    low = np.clip(low, 1, len(block) - 3)
    return sum(weight * block[low + k - 1] for k, weight in enumerate(weights))
