"""DES low-surface-brightness galaxies: version 2 of the catalogue of Tanoglidis et al. (2021), 23,790 galaxies.

Cuts of the catalogue: half-light radius in g above 2.5 arcsec, mean surface brightness in g fainter than 24.2 (extinction-corrected;
reference/science.md, 10). Columns keep their names: ``_se`` are SExtractor's, ``_corr`` are corrected for extinction, those with neither
are of the Sersic fit. Eleven of the 45 names were seen; the others are described by the pattern of their name.
"""

import re
from typing import Any

import numpy as np
from astropy.table import Table

from tuningfork.catalogues import assemble
from tuningfork.catalogues import columns as common
from tuningfork.catalogues.table_files import read_table
from tuningfork.errors import CatalogueError

BIBCODE = "2021ApJS..252...18T"
DOI = "10.3847/1538-4365/abca89"

# Quantity -> published names; the first is the one that was seen.
NAMES: dict[str, tuple[str, ...]] = {
    "object_id": ("coadd_object_id",),
    "ra": ("ra_se", "ra"),
    "dec": ("dec_se", "dec"),
}
MAGNITUDE = ("mag_auto_g_corr", "mag_auto_g", "mag_auto_g_se")

_BAND = r"(?P<band>[griz])"
# Pattern of a name -> unit, UCD, description.
PATTERNS: tuple[tuple[str, common.Info], ...] = (
    (rf"mu_mean_{_BAND}(_.*)?", ("mag/arcsec2", "phot.mag.sb", "Mean surface brightness within the effective radius")),
    (rf"mu_(0|max|eff)(_model)?_{_BAND}(_.*)?", ("mag/arcsec2", "phot.mag.sb", "Surface brightness at the centre (0, max) or at the effective radius (eff)")),
    (rf"mag_\w*{_BAND}(_.*)?", ("mag", "phot.mag;em.opt", "Magnitude (AB)")),
    (rf"flux_radius_{_BAND}_asec", ("arcsec", "phys.angSize;src", "Radius with half the flux")),
    (rf"flux_radius_{_BAND}", ("pix", "phys.angSize;src", "Radius with half the flux")),
    (rf"r_eff_{_BAND}(_.*)?", ("arcsec", "phys.angSize;src", "Effective radius of the Sersic fit")),
    (r"(ra|dec)(_.*)?", ("deg", "pos.eq", "Position (ICRS)")),
    (r"ell(_.*)?|ellipticity", (None, "src.ellipticity", "Ellipticity, 1 - b/a")),
    (r"n|n_.*", (None, "src.morph.param", "Sersic index")),
    (rf"(ext|a|ebv)_\w*{_BAND}(_.*)?|ebv(_.*)?", ("mag", "phys.absorption.gal", "Extinction of the Milky Way")),
)


def info_of(name: str) -> common.Info | None:
    """Unit, UCD and description of a published column by its name, or None; ``_se`` and ``_corr`` are put into words."""
    for pattern, (unit, ucd, text) in PATTERNS:
        if found := re.fullmatch(pattern, name.lower()):
            band = found.groupdict().get("band")
            words = [f"{text}, {band} band" if band else text]
            words += ["SExtractor"] if name.lower().endswith("_se") else []
            words += ["corrected for extinction"] if name.lower().endswith("_corr") else []
            words += ["not corrected for extinction"] if name.lower().endswith("_obs") else []
            return unit, ucd, "; ".join(words)
    return None


def standardise(raw: Table) -> Table:
    """Turn the published table into the common columns.

    Parameters
    ----------
    raw : Table
        As published; ids as text or integers.

    Returns
    -------
    Table
        ``object_id`` = coadd_object_id as text, ``mag`` = g (extinction-corrected where that is published), and the catalogue's own columns.

    Raises
    ------
    CatalogueError
        A needed column is missing, an id stands twice or has lost digits, or a row has no position.
    """
    where = "des_lsbg"
    name = {key: common.find(raw, aliases, where) for key, aliases in NAMES.items()}
    table = Table()
    table["object_id"] = assemble.identifiers(raw[name["object_id"]], where)
    table["galaxy_id"] = table["object_id"].copy()
    for key in ("ra", "dec"):
        table[key] = np.ma.filled(common.floats(raw[name[key]], where), np.nan)
    magnitude = common.find_optional(raw, MAGNITUDE)
    table["mag"] = common.masked_column(common.floats(raw[magnitude], where, missing=(99.0, -99.0))) if magnitude else common.empty_floats(len(raw))
    for column in raw.colnames:
        if column != name["object_id"] and column not in table.colnames and not column.startswith("column_"):
            numeric = raw[column].dtype.kind in "fiu"
            table[column] = common.masked_column(common.floats(raw[column], where, missing=(-9999.0,))) if numeric else raw[column]
    described = {column: info for column in table.colnames if (info := info_of(column)) is not None}
    return assemble.finish(table, raw, where, {**described, **_common(table)}, doi=DOI, bibcode=BIBCODE)


def _common(table: Table) -> dict[str, common.Info]:
    return {name: info for name, info in common.COLUMNS.items() if name in table.colnames}


def fetch(transport: Any, *, limit: int | None = None) -> Table:
    """Fetch the catalogue from DES.

    Parameters
    ----------
    transport : Transport
        An open transport.
    limit : int, optional
        The first so many rows; for trials.

    Raises
    ------
    CatalogueError, ArchiveError
        As `standardise` and the archive's client; or `limit` is not positive.
    """
    from tuningfork.archives import des

    if limit is not None and limit < 1:
        raise CatalogueError(f"des_lsbg: limit is {limit}; it must be 1 or more")
    fetched = des.lsbg_catalogue(transport)
    raw = read_table(fetched.path, "csv", text=("coadd_object_id", "COADD_OBJECT_ID"))[:limit]
    raw.meta = {"origin": assemble.file_origin(fetched, transport)}
    return standardise(raw)
