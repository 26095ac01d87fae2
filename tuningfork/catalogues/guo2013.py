"""Guo et al. (2013): the CANDELS multi-wavelength catalogue of GOODS-S (VizieR J/ApJS/207/24), H magnitudes and SExtractor shapes.

It has no Petrosian radius: that is measured on the image. Its numbers are not those of the visual classifications: join by position.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import Angle
from astropy.table import Table

from tuningfork import tables
from tuningfork.catalogues import columns as common
from tuningfork.errors import CatalogueError

TABLE = "J/ApJS/207/24"
BIBCODE = "2013ApJS..207...24G"
MICROJANSKY_ZERO_POINT = 23.9  # AB magnitude of 1 uJy

# VizieR's spelling first, then that of the FITS table of the CANDELS team.
NAMES: dict[str, tuple[str, ...]] = {
    "id": ("Seq", "ID", "CANDELS", "recno"),
    "ra": ("RAJ2000", "RAdeg", "RA"),
    "dec": ("DEJ2000", "DEdeg", "DEC"),
}
MAGNITUDE = ("Hmag", "F160Wmag", "mag_F160W", "F160WMag")
FLUX = ("F160W", "FF160W", "WFC3_F160W_FLUX")
FLUX_ERROR = ("e_F160W", "e_FF160W", "WFC3_F160W_FLUXERR")
MAGNITUDE_ERROR = ("e_Hmag", "e_F160Wmag", "e_mag_F160W")
OPTIONAL: dict[str, tuple[tuple[str, ...], str | None, str, str]] = {
    "flags": (("Q", "Flag", "FLAGS"), None, "meta.code.qual", "Photometry flag; 0 is clean"),
    "class_star": (("S/G", "S_G", "CLASS_STAR"), None, "src.class.starGalaxy", "SExtractor stellarity: 1 is point-like"),
    "kron_radius": (("KronRad", "Kron", "KRON_RADIUS"), None, "phys.angSize;src", "Kron radius in units of a"),
    "a_pix": (("a", "A_IMAGE"), "pix", "phys.angSize.smajAxis;src", "Profile rms along the major axis, 0.06 arcsec pixels"),
    "b_pix": (("b", "B_IMAGE"), "pix", "phys.angSize.sminAxis;src", "Profile rms along the minor axis, 0.06 arcsec pixels"),
    "theta": (("theta", "THETA_IMAGE"), "deg", "pos.posAng", "Position angle of the major axis, counter-clockwise from x"),
    "flux_radius": (("FluxRad2", "Re", "FLUX_RADIUS_2", "FLUX_RADIUS"), "pix", "phys.angSize;src", "Radius of half the light, 0.06 arcsec pixels"),
    "fwhm": (("FWHM", "FWHM_IMAGE"), "pix", "phys.angSize;src", "Full width at half maximum, 0.06 arcsec pixels"),
}
COLUMNS: dict[str, common.Info] = {
    **{name: common.COLUMNS[name] for name in common.STANDARD},
    **common.magnitude_columns("f160w"),
    **{name: (unit, ucd, text) for name, (_, unit, ucd, text) in OPTIONAL.items()},
}


def degrees(values: np.ndarray, hours: bool) -> np.ma.MaskedArray:
    """Angles in degrees from strings: sexagesimal (``03 32 14.40``, ``-27:41:34.0``) or decimal degrees.

    Parameters
    ----------
    values : array of str, shape (N,)
        Blank strings become masked.
    hours : bool
        Whether a sexagesimal value is in hours (right ascension) rather than degrees.

    Raises
    ------
    CatalogueError
        A value is neither.
    """
    values = np.asarray(values, dtype=str)
    mask = values == ""
    result = np.zeros(len(values))
    if not mask.all():
        filled = values[~mask]
        try:
            sexagesimal = np.char.find(np.char.replace(np.char.strip(filled), ":", " "), " ") >= 0
            unit = u.hourangle if hours else u.deg
            angles = np.empty(len(filled))
            angles[~sexagesimal] = filled[~sexagesimal].astype(float)
            if sexagesimal.any():
                angles[sexagesimal] = Angle(np.char.replace(filled[sexagesimal], ":", " "), unit=unit).deg
        except ValueError as error:
            raise CatalogueError(f"{TABLE}: an angle is neither sexagesimal nor decimal degrees: {error}") from error
        result[~mask] = angles
    return np.ma.MaskedArray(result, mask=mask)


def standardise(raw: Table, field: str = "goodss") -> Table:
    """Turn the published table into the common columns.

    Parameters
    ----------
    raw : Table
        Rows as VizieR or the FITS table give them; positions sexagesimal or decimal, H band as magnitude or as flux in uJy.
    field : str
        Name of the mosaic's footprint.

    Returns
    -------
    Table
        One row a source, `petrosian_flag` = 'none'. A flux of 0 or less, and the numbers 99 and -99, give a masked magnitude.

    Raises
    ------
    CatalogueError
        Neither an H magnitude nor an H flux, or no position.
    """
    name = {key: common.find(raw, alias, TABLE) for key, alias in NAMES.items()}
    used: set[str | None] = set(name.values())
    number = common.strings(raw[name["id"]])
    table = Table()
    table["galaxy_id"] = np.array([f"guo2013_{n}" for n in number.tolist()], dtype=str)
    table["catalogue_id"] = number
    table["field"] = np.full(len(raw), field)
    for key, hours in (("ra", True), ("dec", False)):
        column = raw[name[key]]
        values = degrees(common.strings(column), hours) if column.dtype.kind in "OUS" else common.floats(column, TABLE)
        table[key] = common.masked_column(values)
    for key in ("x_pix", "y_pix", "petrosian_radius_arcsec"):
        table[key] = common.empty_floats(len(raw))
    table["petrosian_flag"] = np.full(len(raw), "none")
    magnitude, error, names = _magnitudes(raw)
    used |= names
    table["mag_f160w"], table["mag_err_f160w"] = common.masked_column(magnitude), common.masked_column(error)
    for key, (alias, *_) in OPTIONAL.items():
        found = common.find_optional(raw, alias)
        used.add(found)
        table[key] = common.masked_column(common.floats(raw[found], TABLE, missing=(-99.0,))) if found else common.empty_floats(len(raw))
    for column in raw.colnames:
        if column not in used and common.snake(column) not in table.colnames and column.lower() != "recno":
            table[common.snake(column)] = raw[column]
    tables.describe(table, COLUMNS)
    table.meta = {"origin": common.origin(raw, "guo2013", bibcode=BIBCODE)}
    return common.mark_simulated(table)


def fetch(transport: Any, *, source: str = "vizier", fields: Sequence[str] = ("goodss",)) -> Table:
    """Ask VizieR for the catalogue and standardise it; `fields` names the one footprint."""
    from tuningfork.archives import vizier

    return standardise(vizier.query(transport, TABLE), common.only_field("guo2013", source, fields))


def _magnitudes(raw: Table) -> tuple[np.ma.MaskedArray, np.ma.MaskedArray, set[str]]:
    magnitude = common.find_optional(raw, MAGNITUDE)
    if magnitude is not None:
        error = common.find_optional(raw, MAGNITUDE_ERROR)
        values = common.floats(raw[magnitude], TABLE, missing=(99.0, -99.0))
        errors = common.floats(raw[error], TABLE, missing=(99.0, -99.0)) if error else np.ma.masked_all(len(raw))
        errors = np.ma.MaskedArray(np.ma.getdata(errors), mask=np.ma.getmaskarray(errors) | np.ma.getmaskarray(values))
        return values, errors, {magnitude, *([error] if error else [])}
    flux = common.find(raw, (*MAGNITUDE, *FLUX), TABLE)
    error = common.find_optional(raw, FLUX_ERROR)
    values = common.floats(raw[flux], TABLE, missing=(-99.0,))
    bad = np.ma.getmaskarray(values) | (np.ma.getdata(values) <= 0)
    safe = np.where(bad, 1.0, np.ma.getdata(values))
    magnitudes = np.ma.MaskedArray(MICROJANSKY_ZERO_POINT - 2.5 * np.log10(safe), mask=bad)
    if error is None:
        return magnitudes, np.ma.masked_all(len(raw)), {flux}
    sigma = common.floats(raw[error], TABLE, missing=(-99.0,))
    return magnitudes, np.ma.MaskedArray(2.5 / np.log(10) * np.ma.getdata(sigma) / safe, mask=bad | np.ma.getmaskarray(sigma)), {flux, error}
