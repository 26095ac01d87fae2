"""The sizes of a whole sample: every galaxy once, on the detection image of its field, after the catalogue was put on the image's frame."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.table import MaskedColumn, Table, vstack

from tuningfork import tables
from tuningfork.catalogues.columns import strings
from tuningfork.errors import SampleError
from tuningfork.files import read_json
from tuningfork.samples.join import Offset, measure_offset
from tuningfork.stamps.mosaic import Mosaic
from tuningfork.stamps.petrosian import measure_sizes

log = logging.getLogger(__name__)

BRIGHTEST = 300
"""Galaxies on which the offset of the frames is measured."""
SEARCH_PIXELS = 10.0
MAX_RMS_ARCSEC = 0.1


def measure_sample(selected: Table, manifests: Sequence[str | Path]) -> Table:
    """Petrosian radii of all objects of a sample.

    Parameters
    ----------
    selected
        Objects with `object_id`, `galaxy_id`, `field`, `ra`, `dec`, `mag`, and `x_pix`, `y_pix` where the catalogue has them.
    manifests
        Manifests of the mosaics of all its fields.

    Returns
    -------
    Table
        One row an object, in the order of `selected`: the columns of `petrosian.measure_sizes` and, where the catalogue has no pixels, `ra`
        and `dec` on the frame of the image. ``meta["frames"]`` holds the offset of each field. All rows of a galaxy share its one measurement.

    Raises
    ------
    SampleError
        The detection image of a field is absent, or positions scatter by more than 0.1 arcsec about the median offset: another frame, or
        another sky (``reference/science.md`` 5).
    """
    entries = {manifest["field"]: manifest["detection"] for manifest in map(read_json, manifests)}
    galaxy = strings(selected["galaxy_id"])
    field = strings(selected["field"])
    _, first, of_galaxy = np.unique(galaxy, return_index=True, return_inverse=True)
    parts, rows, frames = [], [], {}
    for name in sorted(set(field[first].tolist())):
        if entries.get(name, {}).get("status") != "ok":
            raise SampleError(f"field {name}: the archive has no detection image; take sizes from the catalogue (size.source: catalogue) or drop the field")
        mosaic = Mosaic(entries[name]["image"], entries[name]["weight"])
        here = first[field[first] == name]
        table, offset = _measure_field(mosaic, selected[here])
        log.info("%s: %d galaxies; the catalogue lies %+.3f, %+.3f arcsec off the image (rms %.3f)", name, len(here), *offset[:3])
        parts.append(table)
        rows.append(here)
        frames[name] = {"ra_arcsec": offset.ra_arcsec, "dec_arcsec": offset.dec_arcsec, "rms_arcsec": offset.rms_arcsec, "galaxies": offset.pairs}
    stacked = vstack(parts, join_type="exact")
    place = np.empty(len(first), int)
    place[np.searchsorted(np.sort(first), np.concatenate(rows))] = np.arange(len(stacked))
    rank = np.argsort(np.argsort(first))
    result = stacked[place[rank[of_galaxy]]]
    result.add_column(strings(selected["object_id"]), name="object_id", index=0)
    result.meta = {"frames": frames}
    return result


def _measure_field(mosaic: Mosaic, galaxies: Table) -> tuple[Table, Offset]:
    x, y = _numbers(galaxies, "x_pix"), _numbers(galaxies, "y_pix")
    known = np.isfinite(x) & np.isfinite(y)
    if known.all():
        return measure_sizes(mosaic, x, y), Offset(0.0, 0.0, 0.0, 0)
    ra, dec = _numbers(galaxies, "ra"), _numbers(galaxies, "dec")
    offset = _frame_offset(mosaic, ra, dec, _numbers(galaxies, "mag"))
    ra = ra + offset.ra_arcsec / 3600 / np.cos(np.radians(dec))
    dec = dec + offset.dec_arcsec / 3600
    x, y = mosaic.wcs.wcs_world2pix(ra, dec, 1)
    table = measure_sizes(mosaic, x, y)
    table["ra"], table["dec"] = MaskedColumn(ra, unit="deg"), MaskedColumn(dec, unit="deg")
    tables.describe(
        table,
        {
            "ra": ("deg", "pos.eq.ra;meta.main", "Right ascension (ICRS) on the frame of the image"),
            "dec": ("deg", "pos.eq.dec;meta.main", "Declination (ICRS) on the frame of the image"),
        },
    )
    return table, offset


def _numbers(table: Table, name: str) -> np.ndarray:
    if name not in table.colnames:
        return np.full(len(table), np.nan)
    values: np.ndarray = np.ma.filled(np.ma.asarray(table[name], float), np.nan)
    return values


def _frame_offset(mosaic: Mosaic, ra: np.ndarray, dec: np.ndarray, magnitude: np.ndarray) -> Offset:
    """Median of where the light of bright galaxies is, minus where the catalogue has it; in arcsec."""
    bright = np.argsort(np.where(np.isfinite(magnitude), magnitude, np.inf), kind="stable")[:BRIGHTEST]
    x, y = mosaic.wcs.wcs_world2pix(ra[bright], dec[bright], 1)
    shift = np.zeros(2)
    for _ in range(3):  # a first step may stop at its limit; the next ones start from the median of the one before
        found = measure_sizes(mosaic, x + shift[0], y + shift[1], recentre=SEARCH_PIXELS)
        moved = np.stack([np.ma.filled(found["x_centroid"], np.nan) - x, np.ma.filled(found["y_centroid"], np.nan) - y])
        shift = np.nanmedian(moved, axis=1)
    good = np.isfinite(moved).all(axis=0) & ~np.ma.getmaskarray(found["petrosian_radius_arcsec"])
    ra_image, dec_image = mosaic.wcs.wcs_pix2world(x[good] + moved[0][good], y[good] + moved[1][good], 1)
    offset = measure_offset(ra[bright][good], dec[bright][good], ra_image, dec_image)
    if offset.rms_arcsec > MAX_RMS_ARCSEC:
        raise SampleError(
            f"{mosaic.path}: {offset.pairs} bright galaxies scatter by {offset.rms_arcsec:.3f} arcsec about the median offset: not the catalogue's frame"
        )
    return offset
