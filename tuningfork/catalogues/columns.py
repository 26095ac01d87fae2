"""What all catalogues have in common: bands, classes, how a published column is found, and what the common columns mean.

No table of any particular paper lives here; each has its own module, and all of them end in the columns described below.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from astropy.table import Column, MaskedColumn, Table

from tuningfork.errors import CatalogueError
from tuningfork.tables import text_array

BANDS = (
    "f225w",
    "f275w",
    "f336w",
    "f390w",
    "f435w",
    "f475w",
    "f606w",
    "f625w",
    "f775w",
    "f814w",
    "f850lp",
    "f105w",
    "f110w",
    "f125w",
    "f140w",
    "f160w",
)
BAND_ALIASES = {"f850w": "f850lp"}
CLASSES = ("smooth", "features", "irregular", "point_source", "unclassifiable")
TARGETS = tuple(f"p_{name}" for name in CLASSES)
SIMULATED_PREFIX = "SIM-"
STANDARD = ("galaxy_id", "catalogue_id", "field", "ra", "dec", "x_pix", "y_pix", "petrosian_radius_arcsec", "petrosian_flag")
IDENTIFIERS = ("object_id", "galaxy_id", "catalogue_id")

Info = tuple[str | None, str, str]

COLUMNS: dict[str, Info] = {
    "object_id": (None, "meta.id;meta.main", "Identifier, unique in the sample"),
    "galaxy_id": (None, "meta.id", "Identifier of the galaxy: the same for all its filters and repeat classifications"),
    "catalogue_id": (None, "meta.id", "Identifier in the published catalogue"),
    "field": (None, "meta.id.parent", "Field: one mosaic footprint"),
    "ra": ("deg", "pos.eq.ra;meta.main", "Right ascension (ICRS)"),
    "dec": ("deg", "pos.eq.dec;meta.main", "Declination (ICRS)"),
    "x_pix": ("pix", "pos.cartesian.x;instr.det", "X on the native mosaic; the first pixel's centre is 1"),
    "y_pix": ("pix", "pos.cartesian.y;instr.det", "Y on the native mosaic; the first pixel's centre is 1"),
    "petrosian_radius_arcsec": ("arcsec", "phys.angSize;src", "Petrosian radius (eta = 0.2), semi-major axis"),
    "petrosian_flag": (None, "meta.code", "'' measured, 'floor' at the measurement's lower limit, 'none' not available"),
    "n_votes": (None, "meta.number", "Number of people who classified the galaxy"),
    "mag": ("mag", "phot.mag", "Magnitude (AB) by which the catalogue is ordered and cut"),
    "redshift": (None, "src.redshift", "Redshift"),
    "label": (None, "meta.code.class;src.class", "Class; '' where the object has none"),
    "given_split": (None, "meta.code", "Side in the published split: train, validation or test; '' where it is in none"),
}
for _name in CLASSES:
    _words = _name.replace("_", " ")
    COLUMNS[f"f_{_name}"] = (None, "stat.value;src.morph.type", f"Fraction of classifiers who ticked '{_words}' (they may tick several)")
    COLUMNS[f"p_{_name}"] = (None, "stat.probability;src.morph.type", f"Fraction for '{_words}', the five normalised to sum 1")


def magnitude_columns(band: str, mass: bool = False) -> dict[str, Info]:
    """Describe the magnitude columns of one band (``mag_<band>``, ``mag_err_<band>``, ``mag_limit_<band>``; with `mass` the ``mag_mass_`` ones)."""
    stem, words = ("mag_mass", "moderated magnitude, best for stellar mass") if mass else ("mag", "magnitude")
    spectral = "em.IR" if band in BANDS[-5:] else "em.UV" if band in BANDS[:4] else "em.opt"
    return {
        f"{stem}_{band}": ("mag", f"phot.mag;{spectral}", f"{band.upper()} {words} (AB)"),
        f"{stem}_err_{band}": ("mag", f"stat.error;phot.mag;{spectral}", f"Uncertainty of the {band.upper()} {words}"),
        f"{stem}_limit_{band}": ("mag", f"phot.mag;stat.max;{spectral}", f"Limiting {band.upper()} {words} (AB) where not detected"),
    }


def snake(name: str) -> str:
    """A published column name in lower-case snake form: ``f(DS)`` -> ``f_ds``, ``photFlag`` -> ``phot_flag``, ``E(B-V)`` -> ``e_b_v``."""
    spaced = re.sub(r"([a-z0-9])([A-Z])(?=[a-z])", r"\1_\2", name)
    return re.sub(r"[^0-9a-z]+", "_", spaced.lower()).strip("_") or "column"


def find(table: Table, names: str | Sequence[str], where: str) -> str:
    """The first of `names` that `table` has.

    VOTable parsers offer a column by its name (``f(Sph)``) or by its XML identifier (``f_Sph_``): both are accepted. Case is only ignored
    where that leaves one candidate, because VizieR tells lower from upper errors by it (``e_zb1``, ``E_zb1``).

    Raises
    ------
    CatalogueError
        It has none of them; the message names the table, the column and the nearest name.
    """
    found = find_optional(table, names)
    if found is not None:
        return found
    names = [names] if isinstance(names, str) else list(names)
    near = difflib.get_close_matches(names[0].lower(), [c.lower() for c in table.colnames], n=1, cutoff=0.0)
    nearest = next((c for c in table.colnames if near and c.lower() == near[0]), None)
    hint = f"; the nearest it has is {nearest!r}" if nearest else "; it has no columns"
    also = f" (nor {', '.join(map(repr, names[1:]))})" if names[1:] else ""
    raise CatalogueError(f"{where}: no column {names[0]!r}{also}{hint}")


def find_optional(table: Table, names: str | Sequence[str]) -> str | None:
    """The same, or None where the table has none of them."""
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name in table.colnames:
            return name
    for name in names:
        pattern = re.sub(r"[^0-9A-Za-z]", "_", name)
        same = [c for c in table.colnames if re.sub(r"[^0-9A-Za-z]", "_", c) == pattern]
        if len(same) == 1:
            return same[0]
    for name in names:
        same = [c for c in table.colnames if c.lower() == name.lower()]
        if len(same) == 1:
            return same[0]
    return None


def strings(column: Column | np.ndarray) -> np.ndarray:
    """A column as an array of stripped strings; masked values are ''."""
    data = np.ma.asarray(column.data if isinstance(column, Column) else column)
    mask = np.ma.getmaskarray(data)
    text = [v.decode() if isinstance(v, bytes) else str(v) for v in np.ma.getdata(data).tolist()]
    return text_array(["" if m else t.strip() for t, m in zip(text, mask.tolist(), strict=True)], f"column {getattr(column, 'name', None)!r}")


def floats(column: Column, where: str, missing: Iterable[float] = ()) -> np.ma.MaskedArray:
    """A column as masked float64: masked, blank, NaN or infinite values and the numbers in `missing` become masked.

    Raises
    ------
    CatalogueError
        A value is neither blank nor a number.
    """
    data = np.ma.asarray(column.data if isinstance(column, Column) else column)
    mask = np.ma.getmaskarray(data).copy()
    raw = np.ma.getdata(data)
    if raw.dtype.kind in "OUS":
        text = strings(column)
        mask |= (text == "") | (text == "None") | (text == "null")
        try:
            values = np.where(mask, "nan", text).astype(float)
        except ValueError as error:
            raise CatalogueError(f"{where}: column {column.name!r} should hold numbers ({error})") from error
    else:
        values = raw.astype(float)
    mask |= ~np.isfinite(values)
    for number in missing:
        mask |= values == number
    return np.ma.MaskedArray(np.where(mask, 0.0, values), mask=mask)


def masked_column(values: np.ma.MaskedArray | np.ndarray) -> MaskedColumn:
    """A masked column (always masked, so that every catalogue has the same column types)."""
    return MaskedColumn(np.ma.getdata(values), mask=np.ma.getmaskarray(np.ma.asarray(values)))


def empty_floats(n: int) -> MaskedColumn:
    """A float column of `n` values that are all unknown."""
    return MaskedColumn(np.zeros(n), mask=np.ones(n, bool))


def only_field(catalogue: str, source: str, fields: Sequence[str]) -> str:
    """The one field of a catalogue that covers one, served by VizieR alone.

    Raises
    ------
    CatalogueError
        Another source or another number of fields was asked for.
    """
    if source != "vizier":
        raise CatalogueError(f"{catalogue} comes from 'vizier', not from {source!r}")
    if len(fields) != 1:
        raise CatalogueError(f"{catalogue} covers one field; {len(fields)} were named: {', '.join(fields)}")
    return fields[0]


def is_simulated(table: Table) -> bool:
    """Whether the table's origin says that its rows were simulated."""
    return bool(table.meta.get("origin", {}).get("simulated", False))


def mark_simulated(table: Table) -> Table:
    """Give every identifier of a simulated table the prefix ``SIM-`` unless it already carries it; real tables come back unchanged."""
    if not is_simulated(table):
        return table
    table = table.copy()
    for name in IDENTIFIERS:
        if name in table.colnames:
            text = strings(table[name])
            replacement = np.array([t if SIMULATED_PREFIX in t else SIMULATED_PREFIX + t for t in text.tolist()], dtype=str)
            info = table[name].info
            description, meta = info.description, info.meta
            table[name] = replacement
            table[name].info.description, table[name].info.meta = description, meta
    return table


def origin(raw: Table, catalogue: str, **facts: object) -> dict[str, object]:
    """The origin of a standardised table: what the archive client recorded about `raw`, and the paper."""
    known = {"simulated": False, **raw.meta.get("origin", {}), "catalogue": catalogue, **facts}
    if known["simulated"]:
        known.update(doi=None, bibcode=None)  # nobody's publication
    return known


def merge_origins(origins: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """One origin for a table stacked from several queries: common facts once, the differing ones as lists.

    Raises
    ------
    CatalogueError
        Some parts are simulated and others are not.
    """
    if len({bool(o.get("simulated", False)) for o in origins}) > 1:
        raise CatalogueError("simulated and real tables cannot be stacked into one catalogue")
    merged: dict[str, object] = {}
    for key in dict.fromkeys(k for o in origins for k in o):
        values = [o.get(key) for o in origins]
        merged[key] = values[0] if all(v == values[0] for v in values) else values
    return merged
