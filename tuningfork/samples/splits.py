"""Which objects train, validate and test: decided by a hash of a static group and a seed, so that adding objects never moves an old one.

A group is a field, a galaxy or a HEALPix cell. Objects that would let the training side see the other sides (the same galaxy on both, a
second position of it, an overlap on the sky) are put aside as 'guard'; nothing ever crosses from one side to another.
"""

from typing import Any, NamedTuple

import numpy as np
from astropy.table import Table

from tuningfork.catalogues.columns import strings
from tuningfork.errors import SampleError
from tuningfork.samples.groups import Method, cells, degrees, filled, fold_of, group_ids, sides
from tuningfork.samples.leaks import assert_no_leak
from tuningfork.samples.pairs import pairs_within

__all__ = ["SIDES", "SPLITS", "Split", "assert_disjoint", "assert_no_leak", "assign_split", "fold_of", "group_ids"]

SIDES = ("train", "validation", "test")
SPLITS = (*SIDES, "unlabelled", "guard")
_CIRCLE = 36  # directions in which the neighbourhood of an object is probed for other cells
_REACH = 1.1  # how much further than asked, so that no corner of a cell slips between two probes


class Split(NamedTuple):
    """`split`: train, validation, test, unlabelled or guard; `side`: train, validation or test for every row, also those without a label."""

    split: np.ndarray
    side: np.ndarray


def assign_split(
    galaxy_id: np.ndarray,
    group_id: np.ndarray,
    *,
    seed: int,
    validation: float,
    test: float,
    labelled: np.ndarray | None = None,
    ra: np.ndarray | None = None,
    dec: np.ndarray | None = None,
    same_arcsec: float = 0.0,
    guard_arcsec: float | np.ndarray = 0.0,
    nside: int | None = None,
    method: Method = "hashed",
) -> Split:
    """Split of every object.

    Parameters
    ----------
    galaxy_id, group_id : arrays of str, shape (N,)
        What must not be divided, and the static unit of the draw (see `group_ids`).
    seed : int
    validation, test : float
        Fractions of the groups.
    labelled : bool array, optional
        False rows get split 'unlabelled'; their `side` is kept so that nothing learns from them across it. None: all are labelled.
    ra, dec : float arrays, optional
        Degrees; needed by the next three.
    same_arcsec : float
        Positions this close are one galaxy, whatever their `galaxy_id`.
    guard_arcsec : float or array
        Training objects this close to a validation or test object of another group are 'guard'; an array gives each object's own reach
        (its stamp), of which the larger of the two counts. Unknown (NaN) is 0.
    nside : int, optional
        With groups that are HEALPix cells: the guard is then measured to the other sides' cells, not to their objects, so that it is static too.
    method : {'hashed', 'dealt'}
        See `sides`.

    Returns
    -------
    Split
        Where a galaxy has rows on two sides, those of the weaker side (train < validation < test) are 'guard'.
    """
    galaxy_id, group_id = np.asarray(galaxy_id).astype(str), np.asarray(group_id).astype(str)
    side = sides(group_id, seed, validation, test, method)
    rank = np.select([side == "validation", side == "test"], [1, 2], default=0)
    guard = _weaker_of_galaxy(galaxy_id, rank)
    reach: np.ndarray = np.nan_to_num(np.broadcast_to(np.ma.filled(np.ma.asarray(guard_arcsec, float), np.nan), galaxy_id.shape), nan=0.0)
    if same_arcsec > 0 or (reach > 0).any():
        if ra is None or dec is None:
            raise SampleError("a guard on the sky needs positions (ra, dec)")
        ra, dec = filled(ra), filled(dec)
        known = np.isfinite(ra) & np.isfinite(dec)
        guard |= _weaker_of_pairs(ra, dec, known, rank, same_arcsec)
        if nside is None:
            guard |= _near_other_side(ra, dec, known, group_id, rank, reach)
        else:
            guard |= _near_other_cell(ra, dec, known, rank, reach, nside, seed, validation, test, method, group_id)
    split = np.where(guard, "guard", side)
    if labelled is not None:
        split = np.where(np.asarray(labelled, bool), split, "unlabelled")
    return Split(split.astype(str), side.astype(str))


def assert_disjoint(objects: Table, radius_arcsec: float = 0.0) -> None:
    """Raise SampleError, naming them, if a galaxy, a group, or (within a radius) a position stands on two of train, validation and test."""
    split = strings(objects["split"])
    unknown = sorted(set(split.tolist()) - set(SPLITS))
    if unknown:
        raise SampleError(f"split {', '.join(map(repr, unknown))}: choose from {', '.join(SPLITS)}")
    used = np.isin(split, SIDES)
    for name in ("galaxy_id", "group_id"):
        if name in objects.colnames:
            divided = _divided(strings(objects[name])[used], split[used])
            if len(divided):
                raise SampleError(f"{len(divided)} {name} on two sides of the split: {_some(divided)}")
    if radius_arcsec > 0:
        ra, dec, object_id = degrees(objects, "ra")[used], degrees(objects, "dec")[used], strings(objects["object_id"])[used]
        known = np.isfinite(ra) & np.isfinite(dec)
        ra, dec, object_id, side = ra[known], dec[known], object_id[known], split[used][known]
        i, j, _ = pairs_within(ra, dec, ra, dec, radius_arcsec)
        clash = side[i] < side[j]
        if clash.any():
            named = [f"{a}/{b}" for a, b in zip(object_id[i[clash]].tolist(), object_id[j[clash]].tolist(), strict=True)]
            raise SampleError(f"{len(named)} pairs within {radius_arcsec:g} arcsec on two sides of the split: {_some(named)}")


def _weaker_of_galaxy(galaxy_id: np.ndarray, rank: np.ndarray) -> np.ndarray:
    unique, inverse = np.unique(galaxy_id, return_inverse=True)
    strongest = np.zeros(len(unique), int)
    np.maximum.at(strongest, inverse, rank)
    return rank < strongest[inverse]


def _weaker_of_pairs(ra: np.ndarray, dec: np.ndarray, known: np.ndarray, rank: np.ndarray, radius_arcsec: float) -> np.ndarray:
    guard = np.zeros(len(rank), bool)
    weak = np.flatnonzero(known & (rank < 2))
    strong = np.flatnonzero(known & (rank > 0))
    i, j, _ = pairs_within(ra[weak], dec[weak], ra[strong], dec[strong], radius_arcsec)
    i, j = weak[i], strong[j]
    guard[i[rank[i] < rank[j]]] = True
    return guard


def _near_other_side(ra: np.ndarray, dec: np.ndarray, known: np.ndarray, group_id: np.ndarray, rank: np.ndarray, reach: np.ndarray) -> np.ndarray:
    guard = np.zeros(len(rank), bool)
    train, other = np.flatnonzero(known & (rank == 0)), np.flatnonzero(known & (rank > 0))
    if len(train) and len(other):
        i, j, separation = pairs_within(ra[train], dec[train], ra[other], dec[other], float(reach[known].max()))
        i, j = train[i], other[j]
        guard[i[(separation <= np.maximum(reach[i], reach[j])) & (group_id[i] != group_id[j])]] = True
    return guard


def _near_other_cell(
    ra: np.ndarray,
    dec: np.ndarray,
    known: np.ndarray,
    rank: np.ndarray,
    reach: np.ndarray,
    nside: int,
    seed: int,
    validation: float,
    test: float,
    method: Method,
    group_id: np.ndarray,
) -> np.ndarray:
    if method != "hashed":
        raise SampleError("the guard along HEALPix cells needs the method 'hashed', which gives empty cells a side too")
    guard = np.zeros(len(rank), bool)
    rows = np.flatnonzero(known & (rank == 0) & (reach > 0))
    if not len(rows):
        return guard
    expected = np.char.add(f"healpix{nside}_", cells(ra[rows], dec[rows], nside).astype(str))
    if (expected != group_id[rows]).any():
        raise SampleError(f"the groups are not the HEALPix cells of nside {nside}: use group_ids(table, 'healpix', nside)")
    angle = np.linspace(0, 2 * np.pi, _CIRCLE, endpoint=False)
    radius = np.radians(reach[rows] * _REACH / 3600)[:, None]
    phi, theta = np.radians(ra[rows])[:, None], np.radians(dec[rows])[:, None]
    sin_dec = np.clip(np.sin(theta) * np.cos(radius) + np.cos(theta) * np.sin(radius) * np.cos(angle), -1, 1)
    probe_ra = phi + np.arctan2(np.sin(angle) * np.sin(radius) * np.cos(theta), np.cos(radius) - np.sin(theta) * sin_dec)
    probed = cells(np.degrees(probe_ra).ravel(), np.degrees(np.arcsin(sin_dec)).ravel(), nside)
    unique, inverse = np.unique(probed, return_inverse=True)
    foreign = sides(np.char.add(f"healpix{nside}_", unique.astype(str)), seed, validation, test) != "train"
    guard[rows] = foreign[inverse].reshape(len(rows), _CIRCLE).any(axis=1)
    return guard


def _divided(name: np.ndarray, side: np.ndarray) -> np.ndarray:
    pairs = np.unique(np.stack([name, side], axis=1), axis=0) if len(name) else np.empty((0, 2), dtype=str)
    values, counts = np.unique(pairs[:, 0], return_counts=True)
    return values[counts > 1]


def _some(names: Any, n: int = 10) -> str:
    names = [str(name) for name in list(names)]
    return ", ".join(names[:n]) + (", ..." if len(names) > n else "")
