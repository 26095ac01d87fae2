"""Leave-out folds, and the hash that draws them: whole groups by their own names and a seed.

Apart from the rest of this room because every training needs it, and needs nothing of the sky: numpy alone is imported.
"""

import hashlib
from collections.abc import Mapping
from typing import Literal

import numpy as np

from tuningfork.errors import SampleError

__all__ = ["Method", "fold_of", "fold_split", "uniform"]

Method = Literal["hashed", "dealt"]


def uniform(keys: np.ndarray, seed: int, purpose: str = "split") -> np.ndarray:
    """A number in [0, 1) for each key, from SHA-256 of purpose, seed and key: the same on every machine and for every company of keys."""
    unique, inverse = np.unique(np.asarray(keys).astype(str), return_inverse=True)
    numbers = [int.from_bytes(hashlib.sha256(f"{purpose}:{seed}:{key}".encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 11 for key in unique.tolist()]
    return (np.array(numbers, dtype=float) / 2**53)[inverse] if len(unique) else np.empty(0)


def fold_of(group_id: np.ndarray, n_folds: int, seed: int, method: Method = "dealt") -> np.ndarray:
    """Fold 0 ... n_folds - 1 of each row, whole groups only.

    'dealt' sorts the groups by hash and deals them round: each fold has its share of groups, and objects added to the same groups move
    nothing (a new group may). 'hashed' decides each group by itself: for thousands of groups, of which new ones keep coming.

    Raises
    ------
    SampleError
        Fewer than two folds, or fewer groups than folds.
    """
    if n_folds < 2:
        raise SampleError(f"n_folds is {n_folds}; it must be at least 2")
    unique, inverse = np.unique(np.asarray(group_id).astype(str), return_inverse=True)
    if len(unique) < n_folds:
        raise SampleError(f"{len(unique)} groups cannot make {n_folds} folds: every fold needs a group of its own")
    number = uniform(unique, seed, "fold")
    if method == "hashed":
        return np.floor(number * n_folds).astype(int)[inverse]
    fold = np.empty(len(unique), int)
    fold[np.lexsort((unique, number))] = np.arange(len(unique)) % n_folds
    return fold[inverse]


def fold_split(objects: Mapping[str, np.ndarray], fold: int, n_folds: int, seed: int) -> np.ndarray:
    """Split of a leave-out fold: the labelled objects of its groups are its test, all others train or validate as their side says.

    Parameters
    ----------
    objects
        Columns ``split``, ``side`` and ``fold_group``.
    """
    held_out = fold_of(objects["fold_group"], n_folds, seed) == fold
    split = np.asarray(objects["split"]).astype(str)
    rest = np.where(np.asarray(objects["side"]).astype(str) == "validation", "validation", "train")
    used = np.isin(split, ("train", "validation", "test"))
    return np.where(used, np.where(held_out, "test", rest), split)
