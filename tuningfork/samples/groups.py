"""Groups of objects that no split or fold divides, and the hash that gives each its side, its fold or its number.

Everything is decided by a group's own name and a seed, never by the company it is in, unless a function says otherwise.
"""

from typing import Any, Literal

import numpy as np
from astropy import units as u
from astropy.table import Table

from tuningfork.catalogues.columns import strings
from tuningfork.errors import SampleError
from tuningfork.samples.folds import Method, fold_of, uniform

__all__ = ["Method", "Strategy", "cells", "degrees", "filled", "fold_of", "group_ids", "sides", "uniform"]

Strategy = Literal["galaxy", "field", "healpix"]


def group_ids(table: Table, strategy: Strategy, nside: int = 64) -> np.ndarray:
    """The unit that is never divided, for each row: its galaxy, its field, or the HEALPix cell (ring order, ICRS) of its position.

    Raises
    ------
    SampleError
        Unknown strategy, a missing column, or a cell is wanted of an object without position.
    """
    if strategy in ("galaxy", "field"):
        name = "galaxy_id" if strategy == "galaxy" else "field"
        if name not in table.colnames:
            raise SampleError(f"a split by {strategy} needs a column {name!r}")
        return strings(table[name])
    if strategy != "healpix":
        raise SampleError(f"split strategy {strategy!r}: choose galaxy, field or healpix")
    return np.char.add(f"healpix{nside}_", cells(degrees(table, "ra"), degrees(table, "dec"), nside).astype(str))


def cells(ra: np.ndarray, dec: np.ndarray, nside: int) -> np.ndarray:
    """HEALPix cell (ring order) of positions in degrees.

    Raises
    ------
    SampleError
        `nside` is no power of two, or a position is not finite.
    """
    from astropy_healpix import lonlat_to_healpix

    if nside < 1 or nside & (nside - 1):
        raise SampleError(f"nside is {nside}; it must be a power of two")
    ra, dec = np.asarray(ra, float), np.asarray(dec, float)
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        raise SampleError(f"{int((~(np.isfinite(ra) & np.isfinite(dec))).sum())} objects have no position: they have no cell on the sky")
    if (np.abs(dec) > 90).any():
        raise SampleError("a declination is outside -90 to 90 degrees")
    return np.asarray(lonlat_to_healpix(ra * u.deg, dec * u.deg, nside, order="ring"), int) if len(ra) else np.empty(0, int)


def sides(group_id: np.ndarray, seed: int, validation: float, test: float, method: Method = "hashed") -> np.ndarray:
    """Side of each group.

    Parameters
    ----------
    group_id : array of str, shape (N,)
    seed : int
    validation, test : float
        Fractions of the groups (not of the objects).
    method : {'hashed', 'dealt'}
        'hashed': each group by itself, so that new groups never move old ones; with few groups a side may stay empty. 'dealt': the groups in
        the order of their hashes are counted off, at least one for each side asked for; static for new objects of the same groups.

    Raises
    ------
    SampleError
        Fractions out of range, or fewer groups than sides.
    """
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise SampleError(f"validation {validation} and test {test} must be 0 or more and together below 1")
    number = uniform(group_id, seed)
    if method == "hashed":
        return np.select([number < test, number < test + validation], ["test", "validation"], default="train")
    if method != "dealt":
        raise SampleError(f"split method {method!r}: choose hashed or dealt")
    unique, inverse = np.unique(np.asarray(group_id).astype(str), return_inverse=True)
    n_test, n_validation = (max(1, round(f * len(unique))) if f > 0 else 0 for f in (test, validation))
    if len(unique) and n_test + n_validation >= len(unique):
        raise SampleError(f"{len(unique)} groups are too few for train, {n_validation} validation and {n_test} test; split by galaxy or give more fields")
    side = np.full(len(unique), "train", dtype="U10")
    order = np.lexsort((unique, uniform(unique, seed)))
    side[order[:n_test]] = "test"
    side[order[n_test : n_test + n_validation]] = "validation"
    return side[inverse]


def degrees(table: Table, name: str) -> np.ndarray:
    """A column of positions as floats, NaN where masked."""
    if name not in table.colnames:
        raise SampleError(f"the sample has no column {name!r}")
    return filled(table[name])


def filled(values: Any) -> np.ndarray:
    """Values as floats, NaN where masked."""
    return np.asarray(np.ma.filled(np.ma.asarray(values, float), np.nan), float)
