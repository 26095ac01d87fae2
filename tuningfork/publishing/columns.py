"""Columns of a published catalogue: unit, UCD, description and decimals of each, and masked columns made from arrays.

Decimals are part of the product: every format holds the same rounded numbers, so that all of them can be compared for equality.
"""

import hashlib
import logging
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from astropy.io.votable.ucd import check_ucd
from astropy.table import Column, MaskedColumn, Table
from astropy.units import Unit

from tuningfork.predicted import Further, described

log = logging.getLogger(__name__)


class Spec(NamedTuple):
    """Unit (None: none), UCD, description and decimals (None: as they come) of a column."""

    unit: str | None
    ucd: str
    description: str
    decimals: int | None = None


MAX_NAME = 56
"""Characters of a column's name: a FITS card holds 68, fewer with quotes in them."""
PROBABILITY = "stat.probability;src.morph.type"
COMMON: dict[str, Spec] = {
    "object_id": Spec(None, "meta.id;meta.main", "Identifier of the galaxy in this filter"),
    "galaxy_id": Spec(None, "meta.id", "Identifier of the galaxy, the same in all filters"),
    "catalogue_id": Spec(None, "meta.id", "Identifier in the input catalogue"),
    "field": Spec(None, "meta.id.parent", "Field: one mosaic footprint"),
    "filter": Spec(None, "meta.id;instr.filter", "Filter of the stamp"),
    "ra": Spec("deg", "pos.eq.ra;meta.main", "Right ascension (ICRS, epoch of the images)", 6),
    "dec": Spec("deg", "pos.eq.dec;meta.main", "Declination (ICRS, epoch of the images)", 6),
    "mag": Spec("mag", "phot.mag", "Magnitude in the filter (AB); empty where not detected", 4),
    "mag_err": Spec("mag", "stat.error;phot.mag", "Uncertainty of the magnitude", 4),
    "mag_limit": Spec("mag", "phot.mag;stat.max", "Limiting magnitude in the filter (AB) where not detected: a limit, not a measurement", 4),
    "petrosian_radius_arcsec": Spec("arcsec", "phys.angSize;src", "Petrosian radius (eta = 0.2), semi-major axis", 4),
    "stamp_arcsec": Spec("arcsec", "phys.angSize;meta.file", "Side of the square stamp", 4),
    "arcsec_per_pixel": Spec("arcsec/pix", "instr.scale", "Scale of the cutout asked for", 8),
    "petrosian_flag": Spec(None, "meta.code", "Petrosian radius: '' measured, 'floor' at the lower limit of its measurement, 'none' not available"),
    "x_pix": Spec("pix", "pos.cartesian.x;instr.det", "X on the native mosaic; the centre of the first pixel is 1", 4),
    "y_pix": Spec("pix", "pos.cartesian.y;instr.det", "Y on the native mosaic; the centre of the first pixel is 1", 4),
    "snr": Spec(None, "stat.snr", "Signal-to-noise ratio of the source in the stamp", 3),
    "zoom": Spec(None, "arith.factor", "Output pixels per native pixel along a side of the stamp", 5),
    "n_neighbours": Spec(None, "meta.number", "Other sources within the stamp"),
    "flag": Spec(None, "meta.code", "Bits: see the documentation of the flag"),
    "status": Spec(None, "meta.code.status", "Status of the stamp: ok, partial, or why there is none"),
    "in_training": Spec(
        None,
        "meta.code",
        "Whether the main network learned from this row: from its label, or from its pixels alone (autoencoders, the second sample of an adaptation); "
        "the published values are then out of fold where folds exist",
    ),
    "split": Spec(None, "meta.code", "Side of the split: train, validation, test, guard (left out) or unlabelled"),
    "n_votes": Spec(None, "meta.number", "Number of people who classified the stamp"),
    "origin": Spec(
        None,
        "meta.code.class",
        "'archive' for measured rows, 'folder' for pictures of a folder, 'simulated' for rows of a simulated sky: these are not galaxies",
    ),
}

CUTOUTS: dict[str, Spec] = {
    "object_id": COMMON["object_id"]._replace(description="Identifier of the object"),
    "galaxy_id": COMMON["galaxy_id"]._replace(description="Identifier of the galaxy, the same for repeat observations"),
    "field": COMMON["field"]._replace(description="Images of the stamp: the layer of the cutout service"),
    "filter": COMMON["filter"]._replace(description="Bands of the stamp's planes, from short to long wavelengths"),
    "mag": COMMON["mag"]._replace(description="Magnitude of the object in the input catalogue"),
    "petrosian_radius_arcsec": COMMON["petrosian_radius_arcsec"]._replace(description="Petrosian radius in the input catalogue"),
}
"""What differs where a stamp is one picture of all bands from a cutout service: there is no photometry in a filter of its own."""
LABEL = Spec(None, "src.class", "Class of the label that training or testing used; empty where there is none")


def target_specs(targets: list[str], task: str, described: Mapping[str, tuple[str | None, str, str]] | None = None) -> dict[str, Spec]:
    """Specs of the predicted columns: `target`, `target`_std, and label_`target` (what the training saw).

    `described` gives (unit, UCD, description) where the targets need more than their names.
    """
    specs: dict[str, Spec] = {}
    for target in targets:
        words = target.removeprefix("p_").replace("_", " ")
        if described and target in described:
            unit, ucd, text = described[target]
        elif task == "regression":
            unit, ucd, text = None, "stat.value;meta.modelled", f"Predicted {target}"
        else:
            unit, ucd, text = None, PROBABILITY, f"Predicted probability of '{words}'" if task == "classes" else f"Predicted fraction of votes for '{words}'"
        specs[target] = Spec(unit, ucd, text, 6)
        specs[f"{target}_std"] = Spec(unit, f"stat.stdev;{ucd.split(';')[-1]}", f"Standard deviation of {target} over the views and networks averaged", 6)
        specs[f"label_{target}"] = Spec(
            unit, ucd if task == "regression" else "stat.value;src.morph.type", f"The label of {target} that training or testing used", 6
        )
    return specs


def further_spec(column: Further, task: str, of_target: Spec) -> Spec:
    """Spec of a quantile or standard deviation, in the unit of its target."""
    ucd, text = described(column, task)
    return Spec(of_target.unit, f"{ucd};{of_target.ucd.split(';')[-1]}", text, of_target.decimals)


def masked(table: Table, name: str) -> np.ma.MaskedArray:
    """A column as a masked array; nan and infinity count as masked, bytes become text."""
    column = table[name]
    values = np.asarray(column.filled() if hasattr(column, "filled") and column.dtype.kind != "O" else column)
    mask = np.ma.getmaskarray(column).copy() if hasattr(column, "mask") else np.zeros(len(values), bool)
    if values.dtype.kind == "f":
        mask |= ~np.isfinite(values)
        values = np.where(mask, 0.0, values)
    elif values.dtype.kind in "OS":
        values = np.array([v.decode() if isinstance(v, bytes) else "" if v is None else str(v) for v in values.tolist()], dtype=str)
    return np.ma.MaskedArray(values, mask=mask)


def spec_of(column: Column, fallback: Spec | None = None) -> Spec:
    """What a table's column says about itself, completed by `fallback`; a UCD that the standard does not know is not passed on."""
    meta = column.info.meta or {}
    ucd = meta.get("ucd", "")
    if ucd and not check_ucd(ucd, check_controlled_vocabulary=True):
        log.warning("column %s: %r is no valid UCD1+ and is left out", column.info.name, ucd)
        ucd = ""
    unit = str(column.unit) if column.unit is not None else fallback.unit if fallback else None
    return Spec(
        unit or None,
        ucd or (fallback.ucd if fallback else "meta.note"),
        column.info.description or (fallback.description if fallback else f"{column.info.name}, as in the input table"),
        fallback.decimals if fallback else None,
    )


def add(table: Table, name: str, values: np.ndarray | np.ma.MaskedArray, spec: Spec) -> None:
    """Append a column: rounded, non-finite and masked values masked, with unit, UCD and description."""
    data = np.ma.getdata(values)
    mask = np.ma.getmaskarray(np.ma.asarray(values)).copy()
    if data.dtype.kind == "f":
        data = data.astype(float)
        mask |= ~np.isfinite(data)
        data = np.where(mask, 0.0, data)
        if spec.decimals is not None:
            data = np.round(data, spec.decimals)
        data = data + 0.0  # no negative zeros: the formats write them differently
    elif data.dtype.kind in "OUS":
        data = np.array(["" if m else printable(str(v)) for v, m in zip(data.tolist(), mask, strict=True)], dtype=str)
        data = data if len(data) else data.astype("U1")
        mask = np.zeros(len(data), bool)  # an unknown text is the empty text, in every format
    elif data.dtype.kind in "iu":
        data = np.where(mask, 0, data).astype(np.int64)
    elif data.dtype.kind == "b" and mask.any():
        data = data.astype(np.int64)
    table[name] = MaskedColumn(data, mask=mask) if mask.any() or data.dtype.kind == "f" else data
    if spec.unit:
        table[name].unit = spec.unit
    table[name].info.description = spec.description
    table[name].info.meta = {"ucd": spec.ucd, **({"decimals": spec.decimals} if spec.decimals is not None else {})}


def standard_unit(column: Column, form: str) -> str | None:
    """The unit of a column in the standard `form` (``vounit``, ``fits``, ``cds``); None where it has none or the standard cannot say it.

    Logarithmic units (``dex(solMass)``) have no place in VOUnit and FITS; `description_with_unit` then says them in words.
    """
    if column.unit is None or not str(column.unit):
        return None
    try:
        return str(Unit(str(column.unit)).to_string(form))
    except ValueError:
        return None


def description_with_unit(column: Column, form: str) -> str:
    """The description, with the unit in words where the standard `form` cannot hold it."""
    text = column.info.description or ""
    if column.unit is not None and str(column.unit) and standard_unit(column, form) is None:
        return f"{text} (unit: {column.unit})".strip()
    return text


def holdable(name: str, taken: Collection[str] = ()) -> str:
    """A column's name as every format can hold it: in ASCII (others spelled out), without control characters, at most `MAX_NAME` long, new among `taken`.

    A name that is too long, or taken once it is spelled out, ends in 12 hex digits of its SHA-256.
    """
    plain = printable(name).encode("ascii", "backslashreplace").decode()
    if len(plain) <= MAX_NAME and not (plain != name and plain in taken):
        return plain
    return f"{plain[: MAX_NAME - 13]}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def printable(text: str) -> str:
    """The text with control characters and lone surrogates spelled out (``\\x07``): neither XML nor a line of a table can hold them; no blanks at the ends."""
    if text.isprintable():
        return text.strip()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text).strip()
