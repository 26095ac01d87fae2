"""From a catalogue of galaxies to a sample of objects: one row a galaxy and filter that passes the cut, with the side of its stamp.

Nothing is decided here about labels, splits or pixels.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from astropy.table import MaskedColumn, Table, vstack

from tuningfork import tables
from tuningfork.catalogues.columns import COLUMNS, SIMULATED_PREFIX, strings
from tuningfork.errors import SampleError
from tuningfork.samples.labels import refuse_duplicates

MagnitudeRule = Literal["own_filter", "own_filter_mass", "h", "h_mass", "none"]
MAGNITUDE_RULES: tuple[MagnitudeRule, ...] = ("own_filter", "own_filter_mass", "h", "h_mass", "none")
SAMPLE_COLUMNS = {
    "object_id": COLUMNS["object_id"],
    "band": (None, "instr.bandpass", "Filter of the stamp"),
    "mag": ("mag", "phot.mag", "Magnitude in the stamp's filter (AB)"),
    "mag_err": ("mag", "stat.error;phot.mag", "Uncertainty of mag"),
    "mag_limit": ("mag", "phot.mag;stat.max", "Limiting magnitude where not detected (AB)"),
    "stamp_arcsec": ("arcsec", "phys.angSize;instr.fov", "Side of the stamp"),
}
_FIRST = ("object_id", "galaxy_id", "catalogue_id", "field", "band", "ra", "dec", "x_pix", "y_pix", "mag", "mag_err", "mag_limit")


def stamp_id(galaxy_id: np.ndarray, band: str) -> np.ndarray:
    """``macs2129_656`` in f160w -> ``macs2129_f160w_656``: the filter stands before the number."""
    parts = [text.rpartition("_") for text in np.asarray(galaxy_id).tolist()]
    return np.array([f"{head}_{band}_{number}" if head else f"{number}_{band}" for head, _, number in parts], dtype=str)


def explode_bands(
    catalogue: Table,
    bands: Sequence[str],
    magnitude_limit: float | None = 24.5,
    magnitude: MagnitudeRule = "own_filter",
) -> Table:
    """One row for each galaxy and band that passes the magnitude cut.

    Parameters
    ----------
    catalogue : Table
        Common columns; `galaxy_id` unique.
    bands : sequence of str
        Filters wanted, lower case.
    magnitude_limit : float or None
        Rows brighter than this (AB, exclusive) pass; None, or the rule 'none', makes no cut on magnitude.
    magnitude : str
        Which magnitude is cut: 'own_filter' (``mag_<band>`` of the row's own filter), 'own_filter_mass' (``mag_mass_<band>``), 'h' or 'h_mass'
        (that of F160W decides for all filters; the filter itself must then have a detection in the same kind of magnitude), or 'none'.

    Returns
    -------
    Table
        `object_id` ``<cluster>_<band>_<number>``, `band`, `mag`, `mag_err` and `mag_limit` (of PHOTOZ kind for 'own_filter' and 'h', of MASS
        kind for the others), and all columns of the catalogue that do not belong to a band. Sorted as the catalogue, then as `bands`.

    Raises
    ------
    SampleError
        The catalogue is empty, an id stands twice, a band has no magnitudes, or nothing passes.
    """
    if magnitude not in MAGNITUDE_RULES:
        raise SampleError(f"magnitude rule {magnitude!r}: choose from {', '.join(MAGNITUDE_RULES)}")
    _refuse_empty(catalogue, "the catalogue")
    refuse_duplicates(bands, "the bands")
    if not len(bands):
        raise SampleError("no bands are named")
    galaxy_id = strings(catalogue["galaxy_id"])
    refuse_duplicates(galaxy_id, "galaxies of the catalogue")
    stem = "mag_mass" if magnitude in ("own_filter_mass", "h_mass") else "mag"
    own = [name for name in catalogue.colnames if not _of_band(name)]
    parts, order = [], []
    for number, band in enumerate(bands):
        value = _magnitude(catalogue, f"{stem}_{band}")
        if magnitude == "none" or magnitude_limit is None:
            passed = np.ones(len(catalogue), bool)
        elif magnitude.startswith("own_filter"):
            passed = np.ma.filled(value < magnitude_limit, False)
        else:
            passed = np.ma.filled(_magnitude(catalogue, f"{stem}_f160w") < magnitude_limit, False) & ~np.ma.getmaskarray(value)
        part = catalogue[own][passed]
        part["object_id"] = stamp_id(galaxy_id[passed], band)
        part["band"] = np.full(passed.sum(), band)
        for new, old in (("mag", f"{stem}_{band}"), ("mag_err", f"{stem}_err_{band}"), ("mag_limit", f"{stem}_limit_{band}")):
            part[new] = _masked(catalogue, old)[passed]
        parts.append(part)
        order.append(np.flatnonzero(passed) * len(bands) + number)
    table = vstack(parts, join_type="exact", metadata_conflicts="silent")[np.argsort(np.concatenate(order), kind="stable")]
    return _finish(table, catalogue, f"no galaxy passes {magnitude} < {magnitude_limit}" if len(catalogue) else "")


def select_band(catalogue: Table, band: str, magnitude_limit: float | None = 24.5) -> Table:
    """One row for each object of a single-band catalogue that is brighter than the limit (AB, exclusive; None: no cut).

    `object_id` is the catalogue's own id (``GDS_deep2_10000``), so a galaxy that was classified twice has two rows with one `galaxy_id`.

    Raises
    ------
    SampleError
        As `explode_bands`.
    """
    _refuse_empty(catalogue, "the catalogue")
    value = _magnitude(catalogue, f"mag_{band}")
    passed = np.ones(len(catalogue), bool) if magnitude_limit is None else np.ma.filled(value < magnitude_limit, False)
    table = catalogue[[name for name in catalogue.colnames if not _of_band(name)]][passed]
    table["object_id"] = strings(table["catalogue_id"])
    table["band"] = np.full(len(table), band)
    for new, old in (("mag", f"mag_{band}"), ("mag_err", f"mag_err_{band}"), ("mag_limit", f"mag_limit_{band}")):
        table[new] = _masked(catalogue, old)[passed]
    return _finish(table, catalogue, f"no object is brighter than {magnitude_limit} in {band}")


def set_stamp_size(table: Table, multiple: float, minimum_arcsec: float = 0.0, maximum_arcsec: float = np.inf) -> Table:
    """A copy with `stamp_arcsec` = `multiple` x Petrosian radius, held between the limits; masked where there is no radius."""
    if not multiple > 0:
        raise SampleError(f"stamp side = {multiple} x Petrosian radius; the multiple must be above 0")
    table = table.copy()
    radius: np.ma.MaskedArray = np.ma.asarray(table["petrosian_radius_arcsec"], float)
    data = np.ma.getdata(radius)
    mask = np.ma.getmaskarray(radius) | ~np.isfinite(data) | ~(data > 0)
    side = np.clip(np.where(mask, 1.0, data) * multiple, minimum_arcsec, maximum_arcsec)
    table["stamp_arcsec"] = MaskedColumn(np.where(mask, 0.0, side), mask=mask)
    tables.describe(table, SAMPLE_COLUMNS)
    return table


def _of_band(name: str) -> bool:
    return name.startswith("mag_") and name.rsplit("_", 1)[-1][:1] == "f" and name.rsplit("_", 1)[-1][1:4].isdigit()


def _magnitude(catalogue: Table, name: str) -> np.ma.MaskedArray:
    if name not in catalogue.colnames:
        have = sorted({c.rsplit("_", 1)[-1] for c in catalogue.colnames if _of_band(c)})
        raise SampleError(f"the catalogue has no column {name!r}; it has magnitudes in {', '.join(have) or 'no band'}")
    values: np.ma.MaskedArray = np.ma.asarray(catalogue[name], float)
    return np.ma.masked_invalid(values)


def _masked(catalogue: Table, name: str) -> MaskedColumn:
    if name not in catalogue.colnames:
        return MaskedColumn(np.zeros(len(catalogue)), mask=np.ones(len(catalogue), bool))
    values: np.ma.MaskedArray = np.ma.asarray(catalogue[name], float)
    return MaskedColumn(np.ma.getdata(values), mask=np.ma.getmaskarray(values))


def _refuse_empty(table: Table, what: str) -> None:
    if not len(table):
        raise SampleError(f"{what} has no rows: nothing to select")


def _finish(table: Table, catalogue: Table, if_empty: str) -> Table:
    if not len(table):
        raise SampleError(f"the sample is empty: {if_empty}; the catalogue has {len(catalogue)} rows")
    identifiers = strings(table["object_id"])
    refuse_duplicates(identifiers, "objects of the sample")
    if catalogue.meta.get("origin", {}).get("simulated") and not all(SIMULATED_PREFIX in text for text in identifiers.tolist()):
        raise SampleError(f"a simulated catalogue gave identifiers without {SIMULATED_PREFIX}: mark them with catalogues.columns.mark_simulated")
    table = table[[*(n for n in _FIRST if n in table.colnames), *(n for n in table.colnames if n not in _FIRST)]]
    tables.describe(table, SAMPLE_COLUMNS)
    table.meta = dict(catalogue.meta)
    return table
