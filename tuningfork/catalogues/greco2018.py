"""Greco et al. (2018): 781 low-surface-brightness galaxies of HSC, and the artifacts of the same search that DeepShadows was tested on.

The galaxies are VizieR's J/ApJ/857/104/table1 [from memory: its column names, which stand in `NAMES` alone], or the file ``hsc_LSBGs.dat`` of
the DeepShadows repository: the same 18 columns, separated by blanks and without a header. The artifacts are in that repository only. Their
magnitudes are of the i band too, though their list does not say so: with them, the mean surface brightness in g within an elliptical half-light
radius has the edge of the survey's cut (24.3) in both lists, and in neither with the magnitudes read as g.
"""

from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table, vstack

from tuningfork.catalogues import assemble, positions
from tuningfork.catalogues import columns as common
from tuningfork.catalogues.table_files import read_table
from tuningfork.errors import CatalogueError

TABLE = "J/ApJ/857/104/table1"
BIBCODE = "2018ApJ...857..104G"
DOI = "10.3847/1538-4357/aab842"
GALAXIES, ARTIFACTS = "hsc_LSBGs.dat", "hsc_artifacts.csv"
LSBG, ARTIFACT = "lsbg", "artifact"

# Quantity -> names: VizieR's, then those of the artifact list. The .dat file has these quantities in this order.
NAMES: dict[str, tuple[str, ...]] = {
    "id": ("Seq", "ID", "LSBG", "recno"),
    "ra": ("RAJ2000", "RAdeg", "ra"),
    "dec": ("DEJ2000", "DEdeg", "dec"),
    "mu_0": ("iSB", "mu0i", "mu0(i)", "mu_0"),
    "mu_0_err": ("e_iSB", "e_mu0i", "e_mu0(i)"),
    "mag_total": ("imag", "mi", "i", "m_tot"),
    "mag_total_err": ("e_imag", "e_mi", "e_i"),
    "g_r": ("g-r",),
    "g_i": ("g-i",),
    "r_eff": ("Reff", "reff", "r_e"),
    "r_eff_err": ("e_Reff", "e_reff"),
    "sersic_n": ("n",),
    "sersic_n_err": ("e_n",),
    "ellipticity": ("Ell", "ell", "Ellip"),
    "ellipticity_err": ("e_Ell", "e_ell", "e_Ellip"),
    "a_g": ("Ag", "A_g"),
    "a_r": ("Ar", "A_r"),
    "a_i": ("Ai", "A_i"),
}
COLUMNS: dict[str, common.Info] = {
    **{name: common.COLUMNS[name] for name in ("object_id", "galaxy_id", "ra", "dec", "mag", "label")},
    "mu_0": ("mag/arcsec2", "phot.mag.sb", "Central surface brightness of the Sersic fit, i band"),
    "mu_0_err": ("mag/arcsec2", "stat.error;phot.mag.sb", "Uncertainty of mu_0"),
    "mag_total": ("mag", "phot.mag;em.opt.I", "Total magnitude of the Sersic fit (AB), i band"),
    "mag_total_err": ("mag", "stat.error;phot.mag;em.opt.I", "Uncertainty of mag_total"),
    "g_r": ("mag", "phot.color;em.opt.B;em.opt.R", "Colour g - r"),
    "g_i": ("mag", "phot.color;em.opt.B;em.opt.I", "Colour g - i"),
    "r_eff": ("arcsec", "phys.angSize;src", "Effective radius of the Sersic fit"),
    "r_eff_err": ("arcsec", "stat.error;phys.angSize;src", "Uncertainty of r_eff"),
    "sersic_n": (None, "src.morph.param", "Sersic index"),
    "sersic_n_err": (None, "stat.error;src.morph.param", "Uncertainty of sersic_n"),
    "ellipticity": (None, "src.ellipticity", "Ellipticity, 1 - b/a"),
    "ellipticity_err": (None, "stat.error;src.ellipticity", "Uncertainty of the ellipticity"),
    **{f"a_{b}": ("mag", "phys.absorption.gal", f"Extinction of the Milky Way in {b}") for b in "gri"},
}


def read_dat(path: Path) -> Table:
    """The file ``hsc_LSBGs.dat``: 18 columns separated by blanks, without a header.

    Raises
    ------
    CatalogueError
        A line has another number of values, or a value is no number.
    """
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for number, row in enumerate(rows, 1):
        if len(row) != len(NAMES):
            raise CatalogueError(f"{path}: row {number} has {len(row)} values; the list of Greco et al. (2018) has {len(NAMES)} columns")
    columns = zip(*rows, strict=True) if rows else [()] * len(NAMES)
    return Table([np.array(column, dtype=str) for column in columns], names=[aliases[0] for aliases in NAMES.values()])


def standardise(raw: Table, label: str = LSBG) -> Table:
    """Turn one of the lists into the common columns.

    Parameters
    ----------
    raw : Table
        VizieR's table, `read_dat`'s, or the list of artifacts (which has no numbers: its rows are counted from 0).
    label : str
        Class of all its rows.

    Returns
    -------
    Table
        ``object_id`` is ``greco2018_<number>`` or ``hsc_artifact_<row>``; what a list does not publish is masked.

    Raises
    ------
    CatalogueError
        No position or no total magnitude; an object stands twice.
    """
    where = TABLE if label == LSBG else ARTIFACTS
    found = {key: common.find_optional(raw, aliases) for key, aliases in NAMES.items()}
    for key in ("ra", "dec", "mag_total"):
        found[key] = common.find(raw, NAMES[key], where)
    table = Table()
    number = assemble.identifiers(raw[found["id"]], where) if found["id"] else np.arange(len(raw)).astype(str)
    table["object_id"] = np.char.add("greco2018_" if label == LSBG else "hsc_artifact_", number)
    table["galaxy_id"] = table["object_id"].copy()
    for key in ("ra", "dec"):
        table[key] = np.ma.filled(positions.degrees(raw[found[key]], hours=key == "ra", where=where), np.nan)
    table["label"] = np.full(len(raw), label, dtype="U8")
    for key, name in found.items():
        if key not in ("id", "ra", "dec"):
            table[key] = common.masked_column(common.floats(raw[name], where)) if name else common.empty_floats(len(raw))
    table.add_column(table["mag_total"].copy(), name="mag", index=5)
    return assemble.finish(table, raw, "greco2018", COLUMNS, doi=DOI, bibcode=BIBCODE)


def fetch(transport: Any, *, source: str = "vizier", artifacts: bool = True) -> Table:
    """Fetch galaxies and artifacts.

    Parameters
    ----------
    transport : Transport
        An open transport.
    source : str
        Where the galaxies come from: ``vizier``, or ``github`` for the DeepShadows repository.
    artifacts : bool
        Also the artifacts, from that repository.

    Raises
    ------
    CatalogueError, ArchiveError
        As `standardise` and the archives' clients; or another source.
    """
    from tuningfork.archives import des, vizier

    if source == "vizier":
        raw = vizier.query(transport, TABLE)
    elif source == "github":
        fetched = des.repository_file(transport, GALAXIES)
        raw = read_dat(fetched.path)
        raw.meta = {"origin": assemble.file_origin(fetched, transport)}
    else:
        raise CatalogueError(f"greco2018 comes from 'vizier' or 'github', not from {source!r}")
    table = standardise(raw)
    if not artifacts:
        return table
    fetched = des.repository_file(transport, ARTIFACTS)
    negative = read_table(fetched.path, "csv")
    negative.meta = {"origin": assemble.file_origin(fetched, transport)}
    both = [table, standardise(negative, ARTIFACT)]
    origins = [part.meta["origin"] for part in both]
    for part in both:
        part.meta = {}
    stacked = vstack(both)
    stacked.meta = {"origin": common.merge_origins(origins)}
    return stacked
