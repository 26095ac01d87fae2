"""Objects whose stamps come from a cutout service: chosen, scaled and labelled by expressions of the catalogue's columns."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, Table

from tuningfork import tables
from tuningfork.archives import skyserver
from tuningfork.archives.cutouts import CutoutSpec
from tuningfork.catalogues import expressions
from tuningfork.catalogues.columns import COLUMNS, empty_floats, mark_simulated, strings
from tuningfork.errors import SampleError
from tuningfork.samples import groups, labels
from tuningfork.samples.select import SAMPLE_COLUMNS

log = logging.getLogger(__name__)

LARGEST_SCALE = 3600.0  # arcsec a pixel, of what is asked of any other service

CUTOUT_COLUMNS = {
    **{name: COLUMNS[name] for name in ("object_id", "galaxy_id", "field", "ra", "dec", "petrosian_radius_arcsec", "petrosian_flag")},
    **{name: SAMPLE_COLUMNS[name] for name in ("band", "mag", "stamp_arcsec")},
    "arcsec_per_pixel": ("arcsec/pix", "instr.scale", "Scale of the cutout asked for"),
    "label": (None, "src.class", "Class"),
    "labelled": (None, "meta.code", "Whether the object has a usable label"),
    "label_reason": (None, "meta.note", "Why it has none"),
    "exclude_reason": (None, "meta.note", "Why the object gets no stamp, decided before any pixel was asked for; empty for the others"),
}
_FIRST = ("object_id", "galaxy_id", "field", "band", "ra", "dec", "mag", "petrosian_radius_arcsec", "petrosian_flag", "arcsec_per_pixel", "stamp_arcsec")


def select_cutout_sample(catalogue: Table, spec: Mapping[str, Any]) -> Table:
    """The objects of a sample of cutouts.

    Parameters
    ----------
    catalogue
        With `object_id`, `galaxy_id`, `ra`, `dec`; optional `mag`, `petrosian_radius_arcsec`; and whatever the expressions name.
    spec
        The sample's sections: ``images``, ``select``, ``classes``, ``label_column``, ``stamp``, ``task``, ``targets``.

    Returns
    -------
    Table
        One row an object that ``select`` keeps. `arcsec_per_pixel` is the scale to ask for, `stamp_arcsec` the side that is kept. A row without
        scale stays, with the reason in `exclude_reason`.

    Raises
    ------
    ArchiveError
        The service would not give such cutouts.
    SampleError
        Nothing is kept, ids are not unique, an expression is wrong, a column of the labels is missing, or an object has no position.
    """
    images = spec["images"]
    if images["service"] != "galaxy10":
        cutout_spec(images)  # a wrong layer is refused before any request
    chosen = _chosen(catalogue, spec["select"])
    objects = mark_simulated(chosen)
    labels.refuse_duplicates(strings(objects["object_id"]), "objects of the sample")
    scale = images["arcsec_per_pixel"]
    asked = expressions.numbers(chosen, scale) if isinstance(scale, str) else np.full(len(chosen), float(scale))
    smallest, largest = _scales(images["service"])
    usable = np.isfinite(asked) & (asked > 0) & (asked >= smallest) & (asked <= largest)
    objects["arcsec_per_pixel"] = MaskedColumn(np.where(usable, asked, 0.0), mask=~usable)
    side = images["pixels"] * spec["stamp"]["crop"] * asked
    objects["stamp_arcsec"] = MaskedColumn(np.where(usable, side, 0.0), mask=~usable)
    objects["field"] = np.full(len(objects), images["layer"] or images["service"])
    objects["band"] = np.full(len(objects), "".join(images["bands"]))
    _complete(objects)
    objects["exclude_reason"] = np.where(usable, "", f"no scale: {scale} has no positive value")
    strange = np.flatnonzero(np.isfinite(asked) & (asked > 0) & ~usable)
    if len(strange):
        words = [f"no scale: {value:g} arcsec/pixel, where {images['service']} draws {smallest:g} to {largest:g}" for value in asked[strange].tolist()]
        reasons = np.asarray(objects["exclude_reason"]).astype(object)
        reasons[strange] = words
        objects["exclude_reason"] = reasons.astype(str)
    ra, dec = groups.degrees(objects, "ra"), groups.degrees(objects, "dec")
    placed = (np.abs(ra) <= 360) & (np.abs(dec) <= 90)
    if not placed.all():
        raise SampleError(
            f"{int((~placed).sum())} objects have no position, such as {strings(objects['object_id'])[~placed][0]!r}: "
            "leave them out with select.where, for example 'ra is not null'"
        )
    found = _labelled(chosen, objects, spec)
    first = [name for name in _FIRST if name in found.colnames]
    found = found[[*first, *(name for name in found.colnames if name not in first)]]
    tables.describe(found, CUTOUT_COLUMNS)
    log.info("%d objects of %d rows, %d labelled", len(found), len(catalogue), int(np.sum(found["labelled"])))
    return found


def cutout_spec(images: Mapping[str, Any]) -> CutoutSpec:
    """What a sample's section ``images`` asks of its service; `ArchiveError` where the service would not give it."""
    return CutoutSpec(images["service"], images["layer"] or "", images["format"], tuple(images["bands"]), images["pixels"])


def _scales(service: str) -> tuple[float, float]:
    """The finest and the coarsest scale that a service draws, arcsec a pixel; one row beyond them must not cost the others their cutouts."""
    return skyserver.SCALES if service == "skyserver" else (0.0, np.inf) if service == "galaxy10" else (0.0, LARGEST_SCALE)


def _chosen(catalogue: Table, select: Mapping[str, Any]) -> Table:
    keep = np.ones(len(catalogue), bool) if select["where"] is None else expressions.rows_where(catalogue, select["where"])
    rows = np.flatnonzero(keep)
    limit = select["limit"]
    if limit is not None and len(rows) > limit:
        order = np.argsort(groups.uniform(strings(catalogue["object_id"])[rows], 0, "limit"), kind="stable")
        rows = np.sort(rows[order[:limit]])
    if not len(rows):
        raise SampleError(f"the sample is empty: none of {len(catalogue)} rows passes select.where: {select['where']}")
    return catalogue[rows]


def _complete(objects: Table) -> None:
    """Columns that every sample has, unknown where the catalogue is silent."""
    for name in ("mag", "petrosian_radius_arcsec"):
        if name not in objects.colnames:
            objects[name] = empty_floats(len(objects))
    if "petrosian_flag" not in objects.colnames:
        known = ~np.ma.getmaskarray(objects["petrosian_radius_arcsec"])
        objects["petrosian_flag"] = np.where(known, "", "none")


def _labelled(catalogue: Table, objects: Table, spec: Mapping[str, Any]) -> Table:
    """Attach the labels: the catalogue's own columns, or classes by rule."""
    task, targets = spec["task"], spec["targets"]
    if task == "classes":
        column = spec["label_column"]
        if column is not None:
            if column not in catalogue.colnames:
                raise SampleError(f"label_column: the catalogue has no column {column!r}; it has {', '.join(catalogue.colnames)}")
            objects["label"] = strings(catalogue[column])
        else:
            objects["label"] = expressions.first_class(catalogue, spec["classes"])
        return labels.from_catalogue(objects, targets, task=task, class_column="label").objects
    return labels.from_catalogue(objects, targets, task=task).objects
