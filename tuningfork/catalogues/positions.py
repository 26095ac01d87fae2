"""Positions: angles in degrees from what tables hold, and which objects of two lists, or of one, are the same.

Distances are chords on the unit sphere, so that poles and right ascension 0 are no exception.
"""

import re

import numpy as np
from astropy import units as u
from astropy.coordinates import Angle
from astropy.table import Column
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from tuningfork.catalogues.columns import floats, strings
from tuningfork.errors import CatalogueError

ARCSEC = np.pi / 180 / 3600


def unit_vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """Unit vectors, shape (N, 3), of positions in degrees."""
    ra, dec = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def nearest(ra: np.ndarray, dec: np.ndarray, other_ra: np.ndarray, other_dec: np.ndarray, radius_arcsec: float) -> np.ndarray:
    """For each position the index of the nearest one of the other list within a radius.

    Parameters
    ----------
    ra, dec : array, shape (N,)
        Degrees.
    other_ra, other_dec : array, shape (M,)
        Degrees.
    radius_arcsec : float
        Largest separation, arcsec.

    Returns
    -------
    int array, shape (N,)
        -1 where there is none.
    """
    if not len(ra) or not len(other_ra):
        return np.full(len(ra), -1)
    _, index = cKDTree(unit_vectors(other_ra, other_dec)).query(unit_vectors(ra, dec), distance_upper_bound=_chord(radius_arcsec))
    return np.where(index == len(other_ra), -1, index)


def groups_within(ra: np.ndarray, dec: np.ndarray, radius_arcsec: float) -> np.ndarray:
    """Objects nearer to each other than a radius are one group (friends of friends).

    Returns
    -------
    int array, shape (N,)
        The smallest index in each object's group.
    """
    n = len(ra)
    pairs = cKDTree(unit_vectors(ra, dec)).query_pairs(_chord(radius_arcsec), output_type="ndarray") if n else np.empty((0, 2), int)
    graph = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    _, first = np.unique(labels, return_index=True)
    return first[labels]


def _chord(radius_arcsec: float) -> float:
    # A hair more than the radius: the bound of the tree's search is exclusive.
    return float(2 * np.sin(radius_arcsec * ARCSEC / 2) * (1 + 1e-9) + 1e-15)


def degrees(column: Column, *, hours: bool, where: str) -> np.ma.MaskedArray:
    """Angles in degrees from numbers or from text, decimal or sexagesimal (``03 32 14.40``, ``-27:41:34``, ``3h32m14.4s``).

    Parameters
    ----------
    column : Column, shape (N,)
        Numbers are degrees unless the column's unit is another angle. Blanks and NaN become masked.
    hours : bool
        Whether sexagesimal values are hours (right ascension) rather than degrees.
    where : str
        What the error message names.

    Raises
    ------
    CatalogueError
        A value is no angle.
    """
    if column.dtype.kind not in "OUS":
        values = floats(column, where)
        try:
            factor = 1.0 if column.unit is None else u.Unit(column.unit).to(u.deg)
        except (u.UnitConversionError, ValueError, TypeError) as error:
            raise CatalogueError(f"{where}: column {column.name!r} has the unit {str(column.unit)!r}, which is no angle") from error
        return values * factor
    text = np.char.replace(strings(column), "\N{MINUS SIGN}", "-")
    mask = np.isin(np.char.lower(text), ["", "nan", "null", "none"])
    made = np.zeros(len(text))
    sexagesimal = ~mask & np.array([bool(re.search(r"[ :hd]", t)) for t in text.tolist()], dtype=bool)
    try:
        made[~mask & ~sexagesimal] = text[~mask & ~sexagesimal].astype(float)
        if sexagesimal.any():
            made[sexagesimal] = Angle(text[sexagesimal], unit=u.hourangle if hours else u.deg).deg
    except ValueError as error:
        raise CatalogueError(f"{where}: column {column.name!r} has an angle that is neither decimal nor sexagesimal ({error})") from error
    return np.ma.MaskedArray(made, mask=mask | ~np.isfinite(made))
