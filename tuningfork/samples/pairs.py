"""Pairs of positions that are close on the sky, by a tree of points on the unit sphere."""

import numpy as np
from scipy.spatial import KDTree

from tuningfork.errors import SampleError

__all__ = ["ARCSEC", "chord", "pairs_within", "unit_vectors"]

ARCSEC = np.pi / 180 / 3600


def unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Points on the unit sphere, shape (N, 3), of positions in degrees."""
    ra, dec = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def chord(radius_arcsec: float | np.ndarray) -> float | np.ndarray:
    """Length of the chord that an angle spans on the unit sphere."""
    return 2 * np.sin(np.asarray(radius_arcsec) * ARCSEC / 2)


def pairs_within(ra1: np.ndarray, dec1: np.ndarray, ra2: np.ndarray, dec2: np.ndarray, radius_arcsec: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs closer than a radius.

    Returns
    -------
    left, right : int arrays
        Row numbers.
    separation_arcsec : float array
    """
    empty = np.empty(0, int), np.empty(0, int), np.empty(0)
    if not len(ra1) or not len(ra2) or not radius_arcsec > 0:
        return empty
    if radius_arcsec >= 3600 * 10:
        raise SampleError(f"a matching radius of {radius_arcsec:g} arcsec is 10 degrees or more; give arcsec")
    found = KDTree(unit_vectors(ra1, dec1)).sparse_distance_matrix(KDTree(unit_vectors(ra2, dec2)), float(chord(radius_arcsec)), output_type="ndarray")
    return found["i"].astype(int), found["j"].astype(int), 2 * np.arcsin(np.clip(found["v"] / 2, 0, 1)) / ARCSEC
