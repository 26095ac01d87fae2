"""Molino et al. (2017): photometry and shapes of galaxies in the 25 CLASH clusters, from VizieR or from the team's text files on MAST.

Both sources end in the same columns (`molino_columns` pairs their spellings). VizieR has one table a cluster and blanks where the text files hold
99 (not detected: the error column then holds the limit) or -99 (unknown). Two columns labelled as the BCG's position in degrees hold pixels.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy.table import MaskedColumn, Table, vstack

from tuningfork import tables
from tuningfork.archives.mast import CLUSTERS
from tuningfork.catalogues import columns as common
from tuningfork.catalogues.molino_columns import MAST_ALIASES, SOURCES, TEXT
from tuningfork.errors import CatalogueError

CATALOGUE = "J/MNRAS/470/95"
BIBCODE = "2017MNRAS.470...95M"
PIXEL_SCALE_ARCSEC = 0.065
PETROSIAN_FACTOR = 2.0  # SExtractor's PETRO_RADIUS is PETROPARAMS[0] x R(eta = 0.2), in units of a
PETROSIAN_FLOOR = 3.5  # its lower limit, which a failed measurement gets too
_NOT_DETECTED, _UNKNOWN = 99.0, -99.0
_LIMIT_RANGE = (10.0, 40.0)  # an error column holds a magnitude limit only within these; magnitude errors of faint detections reach thousands


COLUMNS: dict[str, common.Info] = {
    **{name: common.COLUMNS[name] for name in common.STANDARD},
    **{name: source[2:] for name, source in SOURCES.items()},
    **{k: v for band in common.BANDS for mass in (False, True) for k, v in common.magnitude_columns(band, mass).items()},
}


def read_mast(path: str | Path) -> Table:
    """Read one of the text files of MAST as a table of strings under its own column names.

    The line of column names may have lost its leading ``#``: it is the last line before the data that begins with ``CLASHID``.

    Raises
    ------
    CatalogueError
        No line of column names, no rows, or a row with another number of values (the line number is named).
    """
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return parse_mast(lines, str(path))


def parse_mast(lines: Sequence[str], where: str) -> Table:
    """The same from lines of text; see `read_mast`."""
    names: list[str] | None = None
    rows: list[list[str]] = []
    for number, line in enumerate(lines, start=1):
        words = line.lstrip("# \t").split()
        if words and words[0] == "CLASHID" and len(words) > 20:
            if len(set(words)) < len(words) or (rows and words != names):
                raise CatalogueError(f"{where}: line {number} names columns twice, or anew below the data; delete the file and fetch it again")
            names = words
        elif line.startswith("#") or not words:
            continue
        elif names is None:
            raise CatalogueError(f"{where}: line {number} holds data, but no line of column names (CLASHID ...) came before it")
        elif len(words) != len(names):
            raise CatalogueError(f"{where}: line {number} has {len(words)} values for {len(names)} columns; a file cut short? Delete it and fetch it again")
        else:
            rows.append(words)
    if names is None or not rows:
        raise CatalogueError(f"{where}: no {'rows' if names else 'line of column names (CLASHID ...)'}")
    texts = [tables.text_array(column, f"{where}: column {name}") for name, column in zip(names, zip(*rows, strict=True), strict=True)]
    return Table(texts, names=names, meta={"origin": {"simulated": False}})


def standardise(
    raw: Table,
    where: str = CATALOGUE,
    petrosian_factor: float = PETROSIAN_FACTOR,
    petrosian_floor: float = PETROSIAN_FLOOR,
    pixel_scale_arcsec: float = PIXEL_SCALE_ARCSEC,
) -> Table:
    """Turn one cluster's table, of VizieR or of MAST, into the common columns.

    Parameters
    ----------
    raw : Table
        From `read_mast` or from VizieR.
    where : str
        Name of the table in error messages.
    petrosian_factor : float
        The Petrosian radius is ``rp * a / petrosian_factor``. SExtractor's `rp` contains its aperture factor (2 by default); 1 is the
        reading in which `rp` is the radius itself.
    petrosian_floor : float
        Values of `rp` down at this limit are flagged 'floor': small, or not measured. 0 or blank is 'none', and the radius masked.
    pixel_scale_arcsec : float
        Of the mosaics on which `a` was measured.

    Returns
    -------
    Table
        One row a galaxy; `galaxy_id` is ``<cluster>_<number>``.

    Raises
    ------
    CatalogueError
        A column is missing, an identifier is not ``clash_<cluster>_nir_<number>``, or `petrosian_factor` is not positive.
    """
    if not petrosian_factor > 0:
        raise CatalogueError(f"petrosian_factor is {petrosian_factor}; it must be above 0")
    mast = "RAJ2000" not in raw.colnames
    names = {key: common.find(raw, (s.mast, *MAST_ALIASES.get(s.mast, ())) if mast else s.vizier, where) for key, s in SOURCES.items()}
    sentinels = {key: (_UNKNOWN, _NOT_DETECTED) if key.startswith("mag_") else (_UNKNOWN,) for key in names}
    values = {key: common.floats(raw[name], where, missing=sentinels[key]) for key, name in names.items() if key not in TEXT}
    catalogue_id = common.strings(raw[names["catalogue_id"]])
    field, galaxy_id = split_clash_id(catalogue_id, where)

    table = Table()
    table["galaxy_id"], table["catalogue_id"], table["field"] = galaxy_id, catalogue_id, field
    for key in ("ra", "dec", "x_pix", "y_pix"):
        table[key] = common.masked_column(values[key])
    radius, flag = petrosian_radius(values["rp"], values["a_pix"], petrosian_factor, petrosian_floor)
    table["petrosian_radius_arcsec"] = common.masked_column(radius * pixel_scale_arcsec)
    table["petrosian_flag"] = flag
    used = set(names.values()) | {common.find_optional(raw, "clusterName" if mast else "Cluster")}
    for mass in (False, True):
        for band in common.BANDS:
            magnitude, error = _magnitude_names(band, mass, mast)
            magnitude, error = common.find(raw, magnitude, where), common.find(raw, error, where)
            used |= {magnitude, error}
            for key, value in zip(common.magnitude_columns(band, mass), _photometry(raw, magnitude, error, where), strict=True):
                table[key] = common.masked_column(value)
    for key in SOURCES:
        if key not in table.colnames and key not in TEXT:
            table[key] = common.masked_column(values[key])
    reference = common.strings(raw[names["zspec_ref"]])
    unknown = np.isin(reference, ["", "None", "-99", "-99.000"])
    table["zspec_ref"] = MaskedColumn(np.where(unknown, "", reference), mask=unknown)
    for column in raw.colnames:
        if column not in used and common.snake(column) not in table.colnames and column.lower() != "recno":
            table[common.snake(column)] = raw[column]
    tables.describe(table, COLUMNS)
    table.meta = {"origin": common.origin(raw, "molino2017", bibcode=BIBCODE, petrosian_factor=petrosian_factor)}
    return common.mark_simulated(table)


def split_clash_id(catalogue_id: np.ndarray, where: str = CATALOGUE) -> tuple[np.ndarray, np.ndarray]:
    """Cluster and ``<cluster>_<number>`` (no leading zeros) of ``clash_<cluster>_nir_<number>``.

    Raises
    ------
    CatalogueError
        An identifier has another form.
    """
    matches = [re.fullmatch(r"clash_(.+)_nir_0*(\d+)", text) for text in catalogue_id.tolist()]
    if not all(matches):
        wrong = catalogue_id[[m is None for m in matches]][0]
        raise CatalogueError(f"{where}: CLASHID {wrong!r} is not clash_<cluster>_nir_<number>")
    clusters = np.array([m.group(1) for m in matches if m], dtype=str)
    return clusters, np.array([f"{m.group(1)}_{m.group(2)}" for m in matches if m], dtype=str)


def petrosian_radius(rp: np.ma.MaskedArray, a: np.ma.MaskedArray, factor: float, floor: float) -> tuple[np.ma.MaskedArray, np.ndarray]:
    """Petrosian radius in the unit of `a`, and the flag '', 'floor' or 'none' (masked then); shapes (N,)."""
    number = np.ma.filled(rp, 0.0)
    axis = np.ma.filled(a, 0.0)
    none = ~((number > 0) & (axis > 0))
    flag = np.where(none, "none", np.where(number <= floor * (1 + 1e-9), "floor", ""))
    return np.ma.MaskedArray(np.where(none, 0.0, number * axis / factor), mask=none), flag


def fetch(
    transport: Any,
    *,
    source: Literal["vizier", "mast"] = "vizier",
    fields: Sequence[str] = CLUSTERS,
    petrosian_factor: float = PETROSIAN_FACTOR,
    petrosian_floor: float = PETROSIAN_FLOOR,
    pixel_scale_arcsec: float = PIXEL_SCALE_ARCSEC,
) -> Table:
    """Ask VizieR, or MAST for its text files, for the clusters named as `fields`, and stack them; see `standardise` for the options.

    Raises
    ------
    CatalogueError
        `source` is neither, `fields` is empty, or a table is not as described.
    """
    from tuningfork.archives import mast, vizier

    if source not in ("vizier", "mast"):
        raise CatalogueError(f"molino2017 comes from 'vizier' or 'mast', not from {source!r}")
    if not fields:
        raise CatalogueError("molino2017: the list of clusters is empty")
    parts = []
    for cluster in fields:
        if source == "vizier":
            where = f"{CATALOGUE}/{cluster}"
            raw = vizier.query(transport, where)
        else:
            where = mast.molino_path(cluster)
            fetched = transport.fetch("mast", where, check=_check_text)
            raw = read_mast(fetched.path)
            raw.meta["origin"] = {"table": where, **_origin_of(fetched)}
        parts.append(standardise(raw, where, petrosian_factor, petrosian_floor, pixel_scale_arcsec))
    origins = [part.meta.pop("origin") for part in parts]
    table = vstack(parts, join_type="outer", metadata_conflicts="silent")
    table.meta = {"origin": common.merge_origins(origins)}
    tables.describe(table, COLUMNS)
    return table


def _magnitude_names(band: str, mass: bool, mast: bool) -> tuple[str, str]:
    upper = band.upper()
    if mast:
        camera = "ACS" if band in common.BANDS[4:11] else "WFC3"
        name = f"{upper}_{camera}_{'MASS' if mass else 'PHOTOZ'}"
        return name, f"d{name}"
    name = f"{upper}{'M' if mass else 'PZ'}"
    return name, f"e_{name}"


def _photometry(raw: Table, magnitude: str, error: str, where: str) -> tuple[np.ma.MaskedArray, np.ma.MaskedArray, np.ma.MaskedArray]:
    """Magnitude, its error, and the limit where it was not detected."""
    value = common.floats(raw[magnitude], where, missing=(_NOT_DETECTED, _UNKNOWN))
    sigma = common.floats(raw[error], where, missing=(_NOT_DETECTED, _UNKNOWN))
    undetected, unknown = np.ma.getmaskarray(value), np.ma.getmaskarray(sigma)
    number = np.ma.getdata(sigma)
    no_error = undetected | unknown
    no_limit = ~undetected | unknown | (number < _LIMIT_RANGE[0]) | (number > _LIMIT_RANGE[1])
    return value, np.ma.MaskedArray(np.where(no_error, 0.0, number), mask=no_error), np.ma.MaskedArray(np.where(no_limit, 0.0, number), mask=no_limit)


def _check_text(path: Path) -> None:
    """Refuse a reply that is not the catalogue (an error page, a file cut short), so that it is asked for again."""
    from tuningfork.archives.checks import BadReply, check_not_html

    check_not_html(path)
    try:
        read_mast(path)
    except CatalogueError as error:
        raise BadReply(str(error)) from error


def _origin_of(fetched: Any) -> dict[str, object]:
    """What the transport recorded beside the file. Whatever is not of the live realm is simulated, and its address (a free port) no fact."""
    sidecar = fetched.sidecar
    simulated = sidecar.get("realm", "live") != "live"
    facts = {key: sidecar[key] for key in ("url", "retrieved", "sha256", "bytes") if key in sidecar and not (simulated and key == "url")}
    return {"archive": "mast", "simulated": simulated, **facts}
