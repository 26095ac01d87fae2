"""SDSS galaxies with MPA-JHU metallicities: the selection of Wu & Boada (2019), asked of SkyServer by SQL.

The published query (reference/systems.md, B1) has no class, reliability or duplicate cut: `strict` adds them (reference/science.md, 9).
Columns keep SDSS's names; a galaxy with several spectra has several rows, which share their `galaxy_id`.
"""

from typing import Any

import numpy as np
from astropy.table import Table

from tuningfork.catalogues import assemble
from tuningfork.catalogues import columns as common
from tuningfork.errors import CatalogueError

BIBCODE = ["2004MNRAS.351.1151B", "2004ApJ...613..898T"]
DOI = ["10.1111/j.1365-2966.2004.07881.x", "10.1086/423264"]
MISSING = -9999.0
# Below it a 3" fibre covers less than about a fifth of a galaxy's light, and metallicity gradients bias the label (Kewley et al. 2005).
FIBRE_REDSHIFT = 0.04
BANDS = ("u", "g", "r", "i", "z")
LINES = ("nii_6584", "h_alpha", "oiii_5007", "h_beta", "h_delta")
STRICT_LINES = ("h_alpha", "h_beta", "oiii_5007", "nii_6584")
PERCENTILES = ("oh_p2p5", "oh_p16", "oh_p50", "oh_p84", "oh_p97p5")
IDENTIFIERS = ("objID", "specObjID")

# Table of the query -> its columns: the forty of the paper, and the four that the stricter sample and the magnitude need.
SELECT: dict[str, tuple[str, ...]] = {
    "G": (
        "objID",
        "ra",
        "dec",
        *(f"modelMag_{b}" for b in BANDS),
        *(f"modelMagErr_{b}" for b in BANDS),
        "petroR50_r",
        "petroR90_r",
        "petroMag_r",
    ),
    "I": ("specObjID", "reliable"),
    "S": ("z", "zErr", "velDisp", "velDispErr", "sciencePrimary", "zWarning"),
    "L": tuple(f"{line}_{kind}" for line in LINES for kind in ("flux", "flux_err")),
    "X": ("d4000", "d4000_err"),
    "E": ("bptclass", *PERCENTILES, "lgm_tot_p50", "sfr_tot_p50"),
}
FROM = """FROM SpecObj AS S
JOIN Galaxy AS G ON G.objID = S.bestObjID
JOIN galSpecLine AS L ON L.specObjID = S.specObjID
JOIN galSpecInfo AS I ON I.specObjID = S.specObjID
JOIN galSpecIndx AS X ON X.specObjID = S.specObjID
JOIN galSpecExtra AS E ON E.specObjID = S.specObjID"""
PUBLISHED_CUTS = (
    "G.petroMag_r > 10 AND G.petroMag_r < 18",
    "G.modelMag_u - G.modelMag_r > 0 AND G.modelMag_u - G.modelMag_r < 6",
    *(f"G.modelMag_{b} > 10 AND G.modelMag_{b} < 25" for b in BANDS),
    "S.rChi2 < 2",
    "S.zErr > 0 AND S.zErr < 0.01",
    "S.z > 0.02",
    "E.oh_p50 <> -9999",
)
STRICT_CUTS = (
    "E.bptclass = 1",
    "I.reliable = 1",
    "S.sciencePrimary = 1",
    "S.zWarning = 0",
    *(f"L.{line}_flux_err > 0 AND L.{line}_flux > 3 * L.{line}_flux_err" for line in STRICT_LINES),
)

_FLUX = "10-17 erg.cm-2.s-1"
COLUMNS: dict[str, common.Info] = {
    **{name: common.COLUMNS[name] for name in ("object_id", "galaxy_id", "ra", "dec", "redshift", "mag")},
    "objID": (None, "meta.id", "SDSS photometric object (64 bits, as text)"),
    "specObjID": (None, "meta.id", "SDSS spectrum (64 bits, as text)"),
    "z": (None, "src.redshift;spect", "Spectroscopic redshift"),
    "zErr": (None, "stat.error;src.redshift", "Uncertainty of z"),
    "velDisp": ("km/s", "phys.veloc.dispersion", "Velocity dispersion"),
    "velDispErr": ("km/s", "stat.error;phys.veloc.dispersion", "Uncertainty of the velocity dispersion"),
    **{f"modelMag_{b}": ("mag", f"phot.mag;em.opt.{b.upper()}", f"Model magnitude in {b} (SDSS system)") for b in BANDS},
    **{f"modelMagErr_{b}": ("mag", f"stat.error;phot.mag;em.opt.{b.upper()}", f"Uncertainty of modelMag_{b}") for b in BANDS},
    "petroMag_r": ("mag", "phot.mag;em.opt.R", "Petrosian magnitude in r (SDSS system)"),
    "petroR50_r": ("arcsec", "phys.angSize;src", "Radius with half the Petrosian flux in r"),
    "petroR90_r": ("arcsec", "phys.angSize;src", "Radius with 90 % of the Petrosian flux in r"),
    **{f"{line}_flux": (_FLUX, "phot.flux;spect.line", f"Flux of {line}, corrected for stellar absorption") for line in LINES},
    **{f"{line}_flux_err": (_FLUX, "stat.error;phot.flux;spect.line", f"Uncertainty of the flux of {line}") for line in LINES},
    "d4000": (None, "spect.index", "4000 Angstrom break"),
    "d4000_err": (None, "stat.error;spect.index", "Uncertainty of d4000"),
    "bptclass": (None, "meta.code.class", "BPT class: -1 none, 1 star forming, 2 low S/N star forming, 3 composite, 4 AGN, 5 low S/N LINER"),
    **{name: (None, "phys.abund.Z", f"12 + log(O/H) of the gas, percentile {name[4:].replace('p', '.')}") for name in PERCENTILES},
    "oh_sigma": (None, "stat.error;phys.abund.Z", "(oh_p84 - oh_p16) / 2: the uncertainty of the label"),
    "lgm_tot_p50": ("dex(solMass)", "phys.mass", "Log of the stellar mass, median"),
    "sfr_tot_p50": ("dex(solMass/yr)", "phys.SFR", "Log of the star-formation rate, median"),
    "reliable": (None, "meta.code.qual", "1 where MPA-JHU call their results reliable"),
    "sciencePrimary": (None, "meta.code", "1 for the best spectrum of this position"),
    "zWarning": (None, "meta.code.qual", "Warnings of the redshift; 0 is good"),
    "fibre_flag": (None, "meta.code.qual", f"True below redshift {FIBRE_REDSHIFT}: the fibre sees the centre only"),
}


def query(*, strict: bool = False, limit: int | None = None) -> str:
    """The SQL (T-SQL, as SkyServer runs it).

    Parameters
    ----------
    strict : bool
        Also ask for star-forming galaxies (``bptclass = 1``) whose results are reliable, the best spectrum of each, good redshifts, and
        S/N > 3 in the four lines of the BPT diagram.
    limit : int, optional
        The first so many in order of ``specObjID``.

    Raises
    ------
    CatalogueError
        `limit` is not positive.
    """
    if limit is not None and limit < 1:
        raise CatalogueError(f"sdss_galspec: limit is {limit}; it must be 1 or more")
    columns = ", ".join(f"{alias}.{name}" for alias, names in SELECT.items() for name in names)
    cuts = "\n  AND ".join((*PUBLISHED_CUTS, *(STRICT_CUTS if strict else ())))
    top = f"TOP {limit} " if limit is not None else ""
    return f"SELECT {top}{columns}\n{FROM}\nWHERE {cuts}\nORDER BY I.specObjID"


def standardise(raw: Table) -> Table:
    """Turn the rows of the query into the common columns.

    Parameters
    ----------
    raw : Table
        Columns of the query, whatever the case of their names; numbers may be text. -9999 is masked.

    Returns
    -------
    Table
        ``object_id`` = specObjID, ``galaxy_id`` = objID, both text; ``redshift`` = z, ``mag`` = petroMag_r; SDSS's columns under their
        names; ``oh_sigma``; ``fibre_flag``.

    Raises
    ------
    CatalogueError
        A column is missing, a spectrum stands twice, or an identifier has lost digits.
    """
    where = "sdss_galspec"
    table = Table()
    published = {name: raw[common.find(raw, name, where)] for names in SELECT.values() for name in names}
    ids = {name: assemble.identifiers(published[name], where) for name in IDENTIFIERS}
    table["object_id"], table["galaxy_id"] = ids["specObjID"], ids["objID"]
    numbers = {name: common.floats(column, where, missing=(MISSING,)) for name, column in published.items() if name not in IDENTIFIERS}
    table["ra"], table["dec"] = np.ma.getdata(numbers.pop("ra")), np.ma.getdata(numbers.pop("dec"))
    table["redshift"], table["mag"] = common.masked_column(numbers["z"]), common.masked_column(numbers["petroMag_r"])
    for name in IDENTIFIERS:
        table[name] = ids[name]
    for name, values in numbers.items():
        whole = name in ("bptclass", "reliable", "sciencePrimary", "zWarning")
        table[name] = common.masked_column(values.astype(np.int64) if whole else values)
    table["oh_sigma"] = common.masked_column((numbers["oh_p84"] - numbers["oh_p16"]) / 2)
    table["fibre_flag"] = np.ma.filled(numbers["z"] < FIBRE_REDSHIFT, False)
    return assemble.finish(table, raw, where, COLUMNS, doi=DOI, bibcode=BIBCODE)


def fetch(transport: Any, *, release: str = "dr14", strict: bool = False, limit: int | None = None) -> Table:
    """Ask SkyServer for the sample.

    Parameters
    ----------
    transport : Transport
        An open transport.
    release : str
        Data release; the paper's is dr14.
    strict, limit
        See `query`.

    Raises
    ------
    CatalogueError, ArchiveError
        As `standardise` and the SkyServer client; or no galaxy passes the cuts.
    """
    from tuningfork.archives import skyserver

    raw = skyserver.sql(transport, query(strict=strict, limit=limit), release=release, text=IDENTIFIERS)
    if not len(raw):
        raise CatalogueError(f"SkyServer {release} has no galaxy that passes the cuts{' of the strict sample' if strict else ''}")
    table = standardise(raw)
    table.meta["origin"] |= {"release": release, "strict": strict}
    return table
