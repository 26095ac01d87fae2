"""The wide form of a catalogue: one row a galaxy, the columns of each filter side by side."""

from collections.abc import Mapping

import numpy as np
from astropy.table import Table

from tuningfork.predicted import further_columns
from tuningfork.publishing import columns
from tuningfork.publishing.columns import Spec, masked
from tuningfork.publishing.uncertainty import columns_of

_SHARED = ("catalogue_id", "field", "petrosian_radius_arcsec")
_LEADING = ("ra", "dec")
_OF_ROWS = ("mag", "mag_err", "mag_limit", "snr", "flag", "stamp_arcsec")


def widen(long: Table, names: Mapping[str, str] | None = None) -> Table:
    """One row a galaxy of a long catalogue.

    Parameters
    ----------
    long : Table
        As `catalogue.assemble` makes it, with ``galaxy_id`` and ``filter``.
    names : mapping, optional
        The renaming that `assemble` was given.

    Returns
    -------
    Table
        galaxy_id, position, what all filters share, n_filters (rows in the long table), n_predicted, in_training (any filter), split, and for each
        filter ``<column>_<filter>`` (filter in lower case) of the targets, their spread, magnitude, S/N, flag and stamp side. A filter in which the
        galaxy was not selected is empty. Rows of the ledger without galaxy stand alone under their object_id. A galaxy that stands twice in one
        filter (CANDELS fields overlap) has two rows, told apart by the column ``occurrence``, which is there only then. Where a stamp holds all bands
        at once (column ``bands`` instead of ``filter``) the columns keep their names and the counts of filters are left out. Sets and intervals of a
        calibration are there where there is one row a galaxy; those of many filters are in the long table.
    """
    names = dict(names or {})
    by_filter = "bands" not in long.colnames
    targets = list(long.meta["targets"])
    further = [column.name for column in further_columns(long.colnames, targets)]
    galaxy = masked(long, "galaxy_id").data.astype(str) if "galaxy_id" in long.colnames else np.full(len(long), "")
    key = np.where(galaxy == "", masked(long, "object_id").data.astype(str), galaxy)
    filters = masked(long, "filter").data.astype(str) if "filter" in long.colnames else np.full(len(long), "")
    occurrence = _occurrence(np.char.add(np.char.add(key, "\x1f"), filters))
    _, first, row = np.unique(np.char.add(np.char.add(key, "\x1f"), occurrence.astype(str)), return_index=True, return_inverse=True)
    # Galaxies in the order of their first row, as in the long table.
    rank = np.argsort(np.argsort(first, kind="stable"), kind="stable")
    row, first = rank[row], np.sort(first)
    n = len(first)
    bands = [str(b) for b in np.unique(filters) if b != "" or (filters == "").all()]
    uncertain = [] if "filter" in long.colnames else columns_of(targets, str(long.meta.get("task", "")))
    table = Table(meta=dict(long.meta))
    columns.add(table, "galaxy_id", key[first], columns.COMMON["galaxy_id"]._replace(ucd="meta.id;meta.main"))
    if (occurrence > 1).any():
        spec = Spec(None, "meta.number", "1, 2, ... where the galaxy was observed more than once" + " in the same filter" * by_filter + "; each has its row")
        columns.add(table, "occurrence", occurrence[first], spec)
    for name in (*(names.get(s, s) for s in _SHARED[:2]), *_LEADING, _SHARED[2]):
        if name in long.colnames:
            columns.add(table, name, masked(long, name)[first], _spec(long, name))
    if by_filter:
        columns.add(table, "n_filters", np.bincount(row, minlength=n), Spec(None, "meta.number", "Filters in which the galaxy was selected"))
    predicted = ~np.ma.getmaskarray(masked(long, targets[0]))
    if by_filter:
        count = np.bincount(row, weights=predicted, minlength=n).astype(int)
        columns.add(table, "n_predicted", count, Spec(None, "meta.number", "Filters with a prediction"))
    trained = np.bincount(row, weights=np.asarray(long["in_training"], float), minlength=n) > 0
    columns.add(table, "in_training", trained, _trained(by_filter))
    columns.add(table, "split", _split(long, row, n), columns.COMMON["split"])
    for band in bands:
        here = filters == band
        suffix = f"_{band.lower()}" if band else ""
        for name in [*targets, *further, *(f"{t}_std" for t in targets), *uncertain, *_OF_ROWS]:
            if name in long.colnames:
                source = masked(long, name)
                out = np.ma.masked_all(n, dtype=source.dtype)
                out[row[here]] = source[here]
                spec = _spec(long, name)
                columns.add(table, f"{name}{suffix}", out, spec._replace(description=f"{spec.description} [{band}]" if band else spec.description))
    columns.add(table, "origin", masked(long, "origin")[first], columns.COMMON["origin"])
    return table


def _trained(by_filter: bool) -> Spec:
    text = "Whether the main network learned from this galaxy in any filter" if by_filter else "Whether the main network learned from this galaxy"
    return columns.COMMON["in_training"]._replace(description=text)


def _occurrence(slot: np.ndarray) -> np.ndarray:
    """1 for the first row of each value of `slot`, 2 for the second, ... in the order of the rows."""
    order = np.argsort(slot, kind="stable")
    ordered = slot[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(slot) else np.zeros(0, int)
    count = np.arange(len(slot)) - np.repeat(starts, np.diff(np.append(starts, len(slot))))
    result = np.empty(len(slot), dtype=int)
    result[order] = count + 1
    return result


def _spec(table: Table, name: str) -> Spec:
    return columns.spec_of(table[name])._replace(decimals=(table[name].info.meta or {}).get("decimals"))


def _split(long: Table, row: np.ndarray, n: int) -> np.ndarray:
    """The galaxy's side: rows without label have none of their own, so any other wins; several are joined by '+' (which no split should give)."""
    split = np.asarray(long["split"]).astype(str)
    result = np.full(n, "", dtype="U40")
    for name in ("unlabelled", "guard", "train", "validation", "test"):
        has = np.zeros(n, bool)
        has[row[split == name]] = True
        weak = (result == "") | (result == "unlabelled")
        result = np.where(has & weak, name, np.where(has, np.char.add(np.char.add(result, "+"), name), result))
    return result
