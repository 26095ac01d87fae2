"""Kartaltepe et al. (2015): visual classes of CANDELS galaxies in GOODS-S, from VizieR's J/ApJS/221/11/table3 (one row a galaxy and depth).

A classifier may tick several boxes, so the five published fractions are five binomials and need not sum to 1: they are kept as ``f_*``
beside the normalised ``p_*``. Column names follow the CDS byte-by-byte description, and stand in `NAMES` alone.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.table import Column, MaskedColumn, Table

from tuningfork import tables
from tuningfork.catalogues import columns as common
from tuningfork.errors import CatalogueError

TABLE = "J/ApJS/221/11/table3"
BIBCODE = "2015ApJS..221...11K"

# Quantity -> published name; VizieR renames the columns of position in many tables.
NAMES: dict[str, tuple[str, ...]] = {
    "depth": ("Depth",),
    "area": ("Area",),
    "id": ("ID",),
    "ra": ("RAdeg", "RAJ2000"),
    "dec": ("DEdeg", "DEJ2000"),
    "guo_seq": ("Seq",),
    "mag": ("Hmag",),
    "n_votes": ("NCl",),
    "f_smooth": ("f(Sph)",),
    "f_features": ("f(Dk)",),
    "f_irregular": ("f(Ir)",),
    "f_point_source": ("f(PS)",),
    "f_unclassifiable": ("f(UnCl)",),
}

COLUMNS: dict[str, common.Info] = {
    **{name: common.COLUMNS[name] for name in (*common.STANDARD, "n_votes")},
    **{f"{kind}_{name}": common.COLUMNS[f"{kind}_{name}"] for name in common.CLASSES for kind in ("f", "p")},
    **common.magnitude_columns("f160w"),
    "label_reason": (None, "meta.note", "Why the votes give no label; empty where they do"),
    "area": (None, "meta.id.part", "GOODS-S survey area: deep, wide or ers"),
    "depth": (None, "meta.number;obs", "Depth of the mosaic that was classified, in epochs"),
    "guo_seq": (None, "meta.id.cross", "Number of the source in Guo et al. (2013)"),
}


def catalogue_ids(identifier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Identifiers ``GDS_<sub-field>_<n>`` and ``GDS_<n>`` from the published ID, which carries the sub-field (``deep2_10000``).

    Parameters
    ----------
    identifier : array of str, shape (N,)
        With or without ``GDS_`` in front; zeros that pad the number are dropped, as in the published label files.

    Returns
    -------
    catalogue_id, galaxy_id : array of str, shape (N,)
        Two sub-fields may hold the same number: the same galaxy classified twice, so `galaxy_id` leaves the sub-field out.

    Raises
    ------
    CatalogueError
        An identifier has another form.
    """
    matches = [re.fullmatch(r"(?:GDS_)?([A-Za-z]+\d+)_0*(\d+)", text) for text in identifier.tolist()]
    if not all(matches):
        raise CatalogueError(f"{TABLE}: ID {str(identifier[matches.index(None)])!r} is not <sub-field>_<number>, such as deep2_10000")
    parts = [match.groups() for match in matches if match]
    return np.array([f"GDS_{subfield}_{number}" for subfield, number in parts], dtype=str), np.array([f"GDS_{number}" for _, number in parts], dtype=str)


def normalise(fractions: np.ma.MaskedArray, sum_range: tuple[float, float] = (0.5, 3.0)) -> tuple[np.ma.MaskedArray, np.ndarray]:
    """Divide vote fractions by their sum, and say where they give no label.

    Parameters
    ----------
    fractions : masked array, shape (N, K)
        Raw fractions, each of its own binomial.
    sum_range : (float, float)
        Sums outside are no label: below, most classifiers ticked nothing; above, they ticked most boxes.

    Returns
    -------
    p : masked array, shape (N, K)
        Rows sum to 1; rows without label are masked.
    reason : array of str, shape (N,)
        '' where there is a label.
    """
    missing = np.ma.getmaskarray(fractions).any(axis=1)
    values = np.ma.filled(fractions, 0.0)
    total = values.sum(axis=1)
    outside = ((values < 0) | (values > 1 + 1e-6)).any(axis=1)
    reason = np.select(
        [missing, outside, total <= 0, (total < sum_range[0]) | (total > sum_range[1])],
        ["a vote fraction is missing", "a vote fraction is outside 0 to 1", "nobody ticked any class", "the vote fractions sum to "],
        default="",
    ).astype(object)
    odd = reason == "the vote fractions sum to "
    reason[odd] = [f"the vote fractions sum to {t:.3g}, outside {sum_range[0]:g} to {sum_range[1]:g}" for t in total[odd]]
    bad = reason != ""
    p = values / np.where(total > 0, total, 1.0)[:, None]
    return np.ma.MaskedArray(np.where(bad[:, None], 0.0, p), mask=np.repeat(bad[:, None], values.shape[1], axis=1)), reason.astype(str)


def standardise(raw: Table, field: str = "goodss", depth: int | None = 2, sum_range: tuple[float, float] = (0.5, 3.0)) -> Table:
    """Turn the published table into the common columns.

    Parameters
    ----------
    raw : Table
        Rows of table 3 as VizieR gives them.
    field : str
        Name of the mosaic's footprint.
    depth : int or None
        Keep the classifications at this depth in epochs (2 covers the whole field); None keeps all three depths.
    sum_range : (float, float)
        See `normalise`.

    Returns
    -------
    Table
        One row a classified object; a galaxy that stands in two sub-fields has two rows with one `galaxy_id`. There is no Petrosian radius.

    Raises
    ------
    CatalogueError
        A column is missing, or no row has that depth.
    """
    name = {key: common.find(raw, published, TABLE) for key, published in NAMES.items()}
    epochs = np.ma.filled(common.floats(raw[name["depth"]], TABLE), -1).astype(int)
    if depth is not None:
        if len(raw) and not (epochs == depth).any():
            raise CatalogueError(f"{TABLE}: no row has a depth of {depth} epochs; there are {', '.join(map(str, np.unique(epochs)))}")
        raw, epochs = raw[epochs == depth], epochs[epochs == depth]

    table = Table()
    table["catalogue_id"], table["galaxy_id"] = catalogue_ids(common.strings(raw[name["id"]]))
    table["field"] = np.full(len(raw), field)
    table["ra"], table["dec"] = (common.masked_column(common.floats(raw[name[k]], TABLE)) for k in ("ra", "dec"))
    for key in ("x_pix", "y_pix", "petrosian_radius_arcsec"):
        table[key] = common.empty_floats(len(raw))
    table["petrosian_flag"] = np.full(len(raw), "none")
    table["mag_f160w"] = common.masked_column(common.floats(raw[name["mag"]], TABLE, missing=(99.0, -99.0)))
    table["mag_err_f160w"] = common.empty_floats(len(raw))
    f = np.ma.stack([common.floats(raw[name[f"f_{c}"]], TABLE, missing=(-99.0,)) for c in common.CLASSES], axis=1)
    p, reason = normalise(f, sum_range)
    for i, c in enumerate(common.CLASSES):
        table[f"f_{c}"] = common.masked_column(f[:, i])
    for i, c in enumerate(common.CLASSES):
        table[f"p_{c}"] = common.masked_column(p[:, i])
    table["label_reason"] = reason
    table["n_votes"], table["guo_seq"] = (_integers(raw[name[key]]) for key in ("n_votes", "guo_seq"))
    table["area"], table["depth"] = common.strings(raw[name["area"]]), epochs
    for column in raw.colnames:
        if column not in name.values() and common.snake(column) not in table.colnames and column.lower() != "recno":
            table[common.snake(column)] = raw[column]
    tables.describe(table, COLUMNS)
    table.meta = {"origin": common.origin(raw, "kartaltepe2015", bibcode=BIBCODE)}
    return common.mark_simulated(table)


def fetch(
    transport: Any,
    *,
    source: str = "vizier",
    fields: Sequence[str] = ("goodss",),
    depth: int | None = 2,
    sum_range: tuple[float, float] = (0.5, 3.0),
) -> Table:
    """Ask VizieR for the catalogue and standardise it; `fields` names the one footprint, the other options are those of `standardise`."""
    from tuningfork.archives import vizier

    return standardise(vizier.query(transport, TABLE), common.only_field("kartaltepe2015", source, fields), depth, sum_range)


def _integers(column: Column) -> MaskedColumn:
    values = common.floats(column, TABLE, missing=(-99.0,))
    return MaskedColumn(np.ma.getdata(values).astype(int), mask=np.ma.getmaskarray(values))
