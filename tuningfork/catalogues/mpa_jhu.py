"""MPA-JHU galaxy spectra from SDSS's row-matched FITS files: every galaxy, not only those of one query.

The four files (galSpecInfo, -Extra, -Line, -Indx; 0.3 to 1.9 GB) hold the same 1.8 million rows in the same order, which is checked by their
SPECOBJID. They are memory-mapped and read column by column, after the rows were chosen. Columns that `sdss_galspec` has too bear the same
names and units.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from tuningfork.catalogues import assemble, positions, sdss_galspec
from tuningfork.catalogues import columns as common
from tuningfork.errors import CatalogueError

BIBCODE = ["2004MNRAS.341...33K", "2004MNRAS.351.1151B", "2004ApJ...613..898T"]
DOI = "10.1111/j.1365-2966.2004.07881.x"
# Values that mean "not measured": of DR8, and of the DR7 files that some copies descend from (reference/archives.md, 3.3).
MISSING = (-9999.0, -99.0, -99.9)
NO_MASS = -1.0
SAME_GALAXY_ARCSEC = 1.0
ROWS_AT_ONCE = 200_000

# Part -> (name here, name in the file).
CONTENT: dict[str, tuple[tuple[str, str], ...]] = {
    "Info": (
        ("z", "Z"),
        ("zErr", "Z_ERR"),
        ("zWarning", "Z_WARNING"),
        ("velDisp", "V_DISP"),
        ("velDispErr", "V_DISP_ERR"),
        ("reliable", "RELIABLE"),
        ("plateid", "PLATEID"),
        ("mjd", "MJD"),
        ("fiberid", "FIBERID"),
        ("sn_median", "SN_MEDIAN"),
        ("e_bv_sfd", "E_BV_SFD"),
    ),
    "Extra": (("bptclass", "BPTCLASS"), *((name, name.upper()) for name in (*sdss_galspec.PERCENTILES, "lgm_tot_p50", "sfr_tot_p50"))),
    "Line": tuple((f"{line}_{kind}", f"{line}_{kind}".upper()) for line in sdss_galspec.LINES for kind in ("flux", "flux_err")),
    "Indx": (("d4000", "D4000"), ("d4000_err", "D4000_ERR")),
}
WHOLE = ("zWarning", "reliable", "plateid", "mjd", "fiberid", "bptclass")
COLUMNS: dict[str, common.Info] = {
    **{name: sdss_galspec.COLUMNS[name] for name in sdss_galspec.COLUMNS if name not in ("objID", "mag", "petroMag_r", "petroR50_r", "petroR90_r")},
    "plateid": (None, "meta.id;instr.plate", "Plate"),
    "mjd": ("d", "time.epoch;obs", "Modified Julian date of the observation"),
    "fiberid": (None, "meta.id;instr", "Fibre, 1 to 640"),
    "sn_median": (None, "stat.snr;spect", "Median signal-to-noise of a pixel of the spectrum"),
    "e_bv_sfd": ("mag", "phot.color.excess", "E(B-V) of the Milky Way (Schlegel, Finkbeiner & Davis 1998)"),
}


def standardise(files: Mapping[str, Path], *, reliable: bool = True, metallicity: bool = True, duplicates: bool = True) -> Table:
    """Turn the FITS files into the common columns.

    Parameters
    ----------
    files : mapping of str to Path
        ``Info`` and ``Extra``; ``Line`` and ``Indx`` add their columns.
    reliable : bool
        Only rows with RELIABLE = 1.
    metallicity : bool
        Only rows with a metallicity (OH_P50).
    duplicates : bool
        Keep repeat spectra of a galaxy, which share its ``galaxy_id`` (objects within 1 arcsec); else the one with the highest S/N.

    Returns
    -------
    Table
        One row a spectrum. Rows without a result (plate -1) are left out; ``meta["origin"]`` counts what was left out and why.

    Raises
    ------
    CatalogueError
        A file is missing or has no such column, or the files are not row-matched.
    """
    where = "mpa_jhu"
    if not {"Info", "Extra"} <= set(files):
        raise CatalogueError(f"{where}: needs the files galSpecInfo and galSpecExtra; {', '.join(sorted(files)) or 'none'} were given")
    with _opened(files) as parts:
        _check_row_matched(parts)
        info, extra = parts["Info"], parts["Extra"]
        has_result = _values(info, "PLATEID") > 0
        counts = {"rows_in_file": len(info), "without_result": int((~has_result).sum())}
        keep = has_result
        if reliable:
            good = _values(info, "RELIABLE") == 1
            counts["unreliable"] = int((keep & ~good).sum())
            keep = keep & good
        if metallicity:
            oh = _values(extra, "OH_P50")
            measured = np.isfinite(oh) & ~np.isin(oh, MISSING)
            counts["without_metallicity"] = int((keep & ~measured).sum())
            keep = keep & measured
        rows = np.flatnonzero(keep)
        table = Table()
        table["object_id"] = assemble.identifiers(np.asarray(info[_name(info, "SPECOBJID")])[rows], where)
        table["galaxy_id"] = table["object_id"].copy()
        table["ra"], table["dec"] = (_values(info, name)[rows].astype(float) for name in ("RA", "DEC"))
        table["redshift"] = common.empty_floats(len(rows))
        table["specObjID"] = table["object_id"].copy()
        for part, content in CONTENT.items():
            for here, there in content if part in parts else ():
                table[here] = _column(parts[part], here, there, rows)
    table["redshift"] = table["z"].copy()
    _name_galaxies(table)
    if not duplicates:
        best = _best_spectra(table)
        counts["repeat_spectra"] = len(table) - len(best)
        table = table[best]
    table["oh_sigma"] = common.masked_column((np.ma.asarray(table["oh_p84"]) - np.ma.asarray(table["oh_p16"])) / 2)
    table["fibre_flag"] = np.ma.filled(np.ma.asarray(table["z"]) < sdss_galspec.FIBRE_REDSHIFT, False)
    table.meta = {}
    raw = Table(meta={"origin": {"left_out": counts}})
    return assemble.finish(table, raw, where, COLUMNS, doi=DOI, bibcode=BIBCODE)


def fetch(transport: Any, *, lines: bool = True, indices: bool = False, reliable: bool = True, metallicity: bool = True, duplicates: bool = True) -> Table:
    """Fetch the files from SDSS's Science Archive Server and standardise them.

    Parameters
    ----------
    transport : Transport
        An open transport.
    lines : bool
        Also fetch the emission lines (1.7 GB).
    indices : bool
        Also fetch the spectral indices, for d4000 (1.9 GB).
    reliable, metallicity, duplicates
        See `standardise`.

    Raises
    ------
    CatalogueError, ArchiveError
        As `standardise` and the archive's client.
    """
    from tuningfork.archives import sas

    parts = ["Info", "Extra", *(["Line"] if lines else []), *(["Indx"] if indices else [])]
    fetched = {part: sas.galspec(transport, part) for part in parts}
    table = standardise({part: f.path for part, f in fetched.items()}, reliable=reliable, metallicity=metallicity, duplicates=duplicates)
    left_out = table.meta["origin"]["left_out"]
    raw = Table(meta={"origin": common.merge_origins([assemble.file_origin(f, transport) for f in fetched.values()])})
    table.meta = {"origin": common.origin(raw, "mpa_jhu", doi=DOI, bibcode=BIBCODE, rows=len(table), left_out=left_out)}
    return common.mark_simulated(table)


@contextlib.contextmanager
def _opened(files: Mapping[str, Path]) -> Iterator[dict[str, fits.FITS_rec]]:
    with contextlib.ExitStack() as stack:
        parts = {}
        for part, path in files.items():
            if part not in CONTENT:
                raise CatalogueError(f"{path}: the parts are {', '.join(CONTENT)}, not {part!r}")
            hdus = stack.enter_context(fits.open(path, memmap=True))
            tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
            if not tables:
                raise CatalogueError(f"{path}: the FITS file holds no table")
            parts[part] = tables[0].data
        yield parts


def _check_row_matched(parts: Mapping[str, fits.FITS_rec]) -> None:
    info = parts["Info"]
    for part, data in parts.items():
        if len(data) != len(info):
            raise CatalogueError(f"mpa_jhu: galSpec{part} has {len(data)} rows and galSpecInfo {len(info)}; they are not of one release")
        if part == "Info":
            continue
        mine, theirs = _name(info, "SPECOBJID"), _name(data, "SPECOBJID")
        for start in range(0, len(info), ROWS_AT_ONCE):
            these, those = (_plain_ids(d[start : start + ROWS_AT_ONCE][name]) for d, name in ((info, mine), (data, theirs)))
            if (these != those).any():
                row = start + int(np.argmax(these != those))
                raise CatalogueError(f"mpa_jhu: galSpec{part} and galSpecInfo are not row-matched: row {row} is {those[row - start]} and {these[row - start]}")


def _plain_ids(values: np.ndarray) -> np.ndarray:
    return np.char.strip(np.asarray(values).astype(str))


def _name(data: fits.FITS_rec, wanted: str) -> str:
    for name in data.names:
        if name.upper() == wanted:
            return str(name)
    return common.find(Table(names=data.names, dtype=["f4"] * len(data.names)), wanted, "mpa_jhu")


def _values(data: fits.FITS_rec, wanted: str) -> np.ndarray:
    values = np.asarray(data[_name(data, wanted)])
    return values.astype(values.dtype.newbyteorder("="))


def _column(data: fits.FITS_rec, here: str, there: str, rows: np.ndarray) -> Any:
    values = _values(data, there)[rows]
    if here in WHOLE:
        return common.masked_column(np.ma.MaskedArray(values.astype(np.int64), mask=np.isin(values, MISSING)))
    values = values.astype(float)
    mask = ~np.isfinite(values) | np.isin(np.round(values, 4), MISSING)
    if here == "lgm_tot_p50":
        mask |= values == NO_MASS
    if here.endswith("Err"):
        mask |= values < 0  # a fit that failed has a negative error
    return common.masked_column(np.ma.MaskedArray(np.where(mask, 0.0, values), mask=mask))


def _name_galaxies(table: Table) -> None:
    """Spectra within 1 arcsec are of one galaxy, named after the smallest of their ids."""
    first = positions.groups_within(np.asarray(table["ra"]), np.asarray(table["dec"]), SAME_GALAXY_ARCSEC)
    table["galaxy_id"] = np.asarray(table["object_id"])[first]


def _best_spectra(table: Table) -> np.ndarray:
    order = np.argsort(-np.ma.filled(np.ma.asarray(table["sn_median"]), -np.inf), kind="stable")
    _, first = np.unique(np.asarray(table["galaxy_id"])[order], return_index=True)
    return np.sort(order[first])
