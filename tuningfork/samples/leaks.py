"""Whether a model would be tested on galaxies that the model it starts from has learned from."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tuningfork.errors import SampleError
from tuningfork.samples.pairs import pairs_within

__all__ = ["LEAK_ARCSEC", "assert_no_leak", "refuse_leak"]

LEAK_ARCSEC = 0.5
"""A galaxy of two samples is told by position."""


def refuse_leak(parent: Mapping[str, np.ndarray], child: Mapping[str, np.ndarray], radius_arcsec: float = LEAK_ARCSEC) -> None:
    """Raise SampleError if a galaxy that the parent was trained on, or chosen by, is in the child's test set.

    Galaxies are told by position; objects without one (pictures of a folder) cannot be compared.
    """
    seen = np.isin(parent["split"], ("train", "validation"))
    test = child["split"] == "test"
    assert_no_leak(parent["ra"][seen], parent["dec"][seen], child["ra"][test], child["dec"][test], radius_arcsec, child["object_id"][test])


def assert_no_leak(
    parent_ra: np.ndarray,
    parent_dec: np.ndarray,
    child_ra: np.ndarray,
    child_dec: np.ndarray,
    radius_arcsec: float,
    child_id: np.ndarray | None = None,
) -> None:
    """Raise SampleError if a galaxy on which the parent was trained is, by position (degrees), in the child's test set."""
    parent_ra, parent_dec, child_ra, child_dec = (_filled(v) for v in (parent_ra, parent_dec, child_ra, child_dec))
    known, rows = np.isfinite(parent_ra) & np.isfinite(parent_dec), np.flatnonzero(np.isfinite(child_ra) & np.isfinite(child_dec))
    _, j, _ = pairs_within(parent_ra[known], parent_dec[known], child_ra[rows], child_dec[rows], radius_arcsec)
    leaked = np.unique(rows[j])
    if len(leaked):
        named = [str(name) for name in (leaked if child_id is None else np.asarray(child_id)[leaked])]
        shown = ", ".join(named[:10]) + (", ..." if len(named) > 10 else "")
        raise SampleError(f"{len(leaked)} test objects lie within {radius_arcsec:g} arcsec of an object the parent model was trained on: {shown}")


def _filled(values: Any) -> np.ndarray:
    return np.asarray(np.ma.filled(np.ma.asarray(values, float), np.nan), float)
