"""Joining two catalogues by position: mutual nearest neighbours within a radius and a magnitude difference, with the frames' offset removed.

Identifiers of different catalogues number galaxies differently, so nothing is joined by number here.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from astropy.table import MaskedColumn, Table

from tuningfork.errors import SampleError
from tuningfork.samples.pairs import pairs_within


class Match(NamedTuple):
    """Pairs of rows: `left[i]` belongs to `right[i]`; separations in arcsec; each row stands in one pair at most."""

    left: np.ndarray
    right: np.ndarray
    separation_arcsec: np.ndarray


class Offset(NamedTuple):
    """Median of right minus left (arcsec, along right ascension times cos dec, and declination), the rms a axis about it, and the pairs used."""

    ra_arcsec: float
    dec_arcsec: float
    rms_arcsec: float
    pairs: int


def match(
    ra1: np.ndarray,
    dec1: np.ndarray,
    ra2: np.ndarray,
    dec2: np.ndarray,
    radius_arcsec: float,
    mag1: np.ndarray | None = None,
    mag2: np.ndarray | None = None,
    max_dmag: float | None = None,
) -> Match:
    """Mutual nearest neighbours among the pairs that are close enough on the sky and in magnitude.

    Parameters
    ----------
    ra1, dec1, ra2, dec2 : float arrays, shapes (N,) and (M,)
        Positions in degrees; rows with NaN or masked positions match nothing.
    radius_arcsec : float
        Largest separation.
    mag1, mag2 : float arrays, optional
        Magnitudes; with `max_dmag`, pairs that differ by more, or of which one is unknown, are no pairs.
    max_dmag : float, optional
        Largest difference; None ignores the magnitudes.
    """
    position1, position2 = _finite(ra1, dec1), _finite(ra2, dec2)
    i, j, separation = pairs_within(position1[1], position1[2], position2[1], position2[2], radius_arcsec)
    i, j = position1[0][i], position2[0][j]
    if max_dmag is not None:
        if mag1 is None or mag2 is None:
            raise SampleError("a join with max_dmag needs magnitudes on both sides")
        difference = np.ma.filled(np.ma.asarray(mag1, float), np.nan)[i] - np.ma.filled(np.ma.asarray(mag2, float), np.nan)[j]
        with np.errstate(invalid="ignore"):
            close = np.abs(difference) <= max_dmag
        i, j, separation = i[close], j[close], separation[close]
    nearest = _first_of(i, separation, j) & _first_of(j, separation, i)
    order = np.argsort(i[nearest])
    return Match(i[nearest][order], j[nearest][order], separation[nearest][order])


def measure_offset(ra1: np.ndarray, dec1: np.ndarray, ra2: np.ndarray, dec2: np.ndarray) -> Offset:
    """Median offset of paired positions (degrees, shape (P,)) and the rms a axis about it, without those beyond 3 robust sigmas."""
    if not len(ra1):
        raise SampleError("the offset of two catalogues cannot be measured: no pairs")
    dra = ((np.asarray(ra2) - np.asarray(ra1) + 180) % 360 - 180) * np.cos(np.radians(np.asarray(dec1))) * 3600
    ddec = (np.asarray(dec2) - np.asarray(dec1)) * 3600
    centre = np.array([np.median(dra), np.median(ddec)])
    residual = np.stack([dra, ddec], axis=1) - centre
    distance = np.hypot(*residual.T)
    sigma = 1.4826 * np.median(np.abs(residual))
    kept = residual[distance <= max(3 * np.sqrt(2) * sigma, 1e-6)]
    return Offset(float(centre[0]), float(centre[1]), float(np.sqrt((kept**2).mean())) if len(kept) else 0.0, len(kept))


def align(
    ra1: np.ndarray,
    dec1: np.ndarray,
    ra2: np.ndarray,
    dec2: np.ndarray,
    *,
    radius_arcsec: float = 0.4,
    search_arcsec: float = 1.0,
    mag1: np.ndarray | None = None,
    mag2: np.ndarray | None = None,
    max_dmag: float | None = None,
    max_rms_arcsec: float = 0.1,
    min_pairs: int = 10,
) -> tuple[Match, Offset]:
    """Match after removing the median offset of the two frames, measured on a first match within `search_arcsec`.

    Raises
    ------
    SampleError
        Fewer than `min_pairs` pairs in the first match, or their rms about the offset is above `max_rms_arcsec`: not the same frame, or not
        the same sky.
    """
    offset = Offset(0.0, 0.0, 0.0, 0)
    radius = search_arcsec
    for _ in range(3):
        shifted = _shift(ra2, dec2, -offset.ra_arcsec, -offset.dec_arcsec)
        found = match(ra1, dec1, *shifted, radius, mag1, mag2, max_dmag)
        if len(found.left) < min_pairs:
            raise SampleError(f"only {len(found.left)} pairs within {radius:g} arcsec (at least {min_pairs} wanted): do the two catalogues cover the same sky?")
        rows = _plain(ra1)[found.left], _plain(dec1)[found.left], _plain(ra2)[found.right], _plain(dec2)[found.right]
        offset = measure_offset(*rows)
        radius = radius_arcsec
    if offset.rms_arcsec > max_rms_arcsec:
        raise SampleError(f"positions scatter by {offset.rms_arcsec:.3f} arcsec a axis about their median offset, above {max_rms_arcsec:g}: not in one frame")
    return match(ra1, dec1, *_shift(ra2, dec2, -offset.ra_arcsec, -offset.dec_arcsec), radius_arcsec, mag1, mag2, max_dmag), offset


def take_columns(left: Table, right: Table, found: Match, columns: Sequence[str], prefix: str = "") -> Table:
    """A copy of `left` with `columns` of `right` (named `prefix` + name) at the matched rows, masked elsewhere.

    Raises
    ------
    SampleError
        `right` has no such column, or `left` already has the new name.
    """
    result = left.copy()
    for name in columns:
        if name not in right.colnames:
            raise SampleError(f"the joined catalogue has no column {name!r}")
        if prefix + name in left.colnames:
            raise SampleError(f"the sample already has a column {prefix + name!r}; give a prefix")
        source = right[name]
        values = np.asarray(np.ma.getdata(source))
        new = np.zeros(len(left), dtype=values.dtype)
        mask = np.ones(len(left), bool)
        new[found.left] = values[found.right]
        mask[found.left] = np.ma.getmaskarray(np.ma.asarray(source))[found.right]
        result[prefix + name] = MaskedColumn(new, mask=mask, unit=source.unit, description=source.info.description, meta=source.info.meta)
    return result


def _first_of(key: np.ndarray, separation: np.ndarray, tie: np.ndarray) -> np.ndarray:
    """Mark, for each value of `key`, the pair of smallest separation (then smallest `tie`)."""
    order = np.lexsort((tie, separation, key))
    first = np.zeros(len(key), bool)
    if len(key):
        sorted_key = key[order]
        first[order[np.r_[True, sorted_key[1:] != sorted_key[:-1]]]] = True
    return first


def _plain(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.ma.filled(np.ma.asarray(values, float), np.nan), float)


def _finite(ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ra, dec = _plain(ra), _plain(dec)
    rows = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    return rows, ra[rows], dec[rows]


def _shift(ra: np.ndarray, dec: np.ndarray, ra_arcsec: float, dec_arcsec: float) -> tuple[np.ndarray, np.ndarray]:
    ra, dec = _plain(ra), _plain(dec)
    return ra + ra_arcsec / 3600 / np.cos(np.radians(dec)), dec + dec_arcsec / 3600
