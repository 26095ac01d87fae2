"""The steps of a sample put together: from catalogue, second catalogue and labels to selected objects, and from these and their sizes to shards.

Each step is a function of its own module; here they are only called in order, with the sections of the configuration as arguments.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, Table

from tuningfork import tables
from tuningfork.catalogues.columns import strings
from tuningfork.errors import SampleError
from tuningfork.samples import groups, join, labels, select, shards, splits
from tuningfork.samples.leaks import LEAK_ARCSEC

log = logging.getLogger(__name__)

EXCLUDED = "exclude_reason"
SAME_ARCSEC = 0.4  # positions this close are one galaxy, unless the split says otherwise
_COLUMNS = {
    EXCLUDED: (None, "meta.note", "Why the object gets no stamp, decided before any pixel was read; empty for the others"),
    "split": (None, "meta.code.class", "Side of the split: train, validation, test, guard (too near another side), unlabelled"),
    "side": (None, "meta.code.class", "Side that the object's group belongs to, labelled or not"),
    "group_id": (None, "meta.id.assoc", "What stays on one side of the split"),
    "fold_group": (None, "meta.id.assoc", "What stays in one leave-out fold: the field, or the group where there is one field"),
    "shard": (None, "meta.id.assoc", "Shard whose stamp file holds the object"),
}


def select_mosaic_sample(catalogue: Table, spec: Mapping[str, Any], *, matched: Table | None = None, label_table: Table | None = None) -> Table:
    """Objects of a published catalogue: joined, cut by magnitude, sized where the catalogue has sizes, labelled.

    Parameters
    ----------
    catalogue
        In the common columns.
    spec
        The sample's sections: ``bands``, ``select``, ``size``, ``stamp``, ``match``, ``labels``, ``targets``, ``task``.
    matched
        The second catalogue of ``spec["match"]``. Objects without a partner stay, with the reason in `exclude_reason`.
    label_table
        Labels by object id; without it those of the catalogue.

    Returns
    -------
    Table
        One row an object (galaxy and band), every one that passes the magnitude cut.

    Raises
    ------
    SampleError
        Nothing passes, ids are not unique, the two catalogues are not in one frame, or the labels lack a target.
    """
    excluded = np.full(len(catalogue), "", dtype=object)
    if matched is not None:
        catalogue, excluded = _joined(catalogue, matched, spec["match"])
    catalogue = catalogue.copy()
    catalogue[EXCLUDED] = excluded.astype(str)
    bands = list(spec["bands"])
    in_one_band = len({name for name in catalogue.colnames if name.startswith("mag_f") and name.count("_") == 1}) == 1
    if in_one_band and len(bands) == 1:
        objects = select.select_band(catalogue, bands[0], spec["select"]["magnitude_limit"])
    else:
        objects = select.explode_bands(catalogue, bands, **spec["select"])
    if spec["size"]["source"] == "catalogue":
        objects = select.set_stamp_size(objects, spec["stamp"]["petrosian_radii"])
    else:
        objects["stamp_arcsec"] = MaskedColumn(np.zeros(len(objects)), mask=np.ones(len(objects), bool), unit="arcsec")
    targets, task = spec["targets"], spec["task"]
    if label_table is not None:
        found = labels.attach(objects, label_table, targets, task=task, id_column=spec["labels"]["id_column"])
    else:
        found = labels.from_catalogue(objects, targets, task=task)
    _report(found, label_table is not None)
    tables.describe(found.objects, _COLUMNS)
    return found.objects


def finish_sample(
    selected: Table, spec: Mapping[str, Any], sizes: Table | None = None, apart: Sequence[Mapping[str, np.ndarray]] = ()
) -> tuple[Table, dict[str, Any]]:
    """Join the measured sizes, split, and cut into shards.

    Parameters
    ----------
    selected
        What `select_mosaic_sample` (or a folder) gave.
    spec
        The sample's sections: ``kind``, ``split``, ``shards``, ``stamp``, ``targets``, ``task``, and ``label_errors`` where it has them.
    sizes
        Measured sizes, by `object_id`; only for samples that measure them.
    apart
        Columns `ra`, `dec`, `split` of samples that may be learned from first: test objects that they train on or validate with become guard.

    Returns
    -------
    objects : Table
        All rows of `selected`, with `split`, `side`, `group_id`, `fold_group`, `shard`.
    index : dict
        What ``shards.json`` holds; see `shards.manifest`.

    Raises
    ------
    SampleError
        Sizes of other objects, too few groups for the split, or a galaxy on two sides.
    """
    objects = selected.copy()
    if sizes is not None:
        objects = _sized(objects, sizes, spec["stamp"]["petrosian_radii"])
    _split(objects, spec["split"])
    for other in apart:
        _put_aside(objects, other)
    splits.assert_disjoint(objects)
    if spec["kind"] in ("mosaic", "cutout"):
        shard = shards.shard_keys(objects["ra"], objects["dec"], spec["shards"]["healpix_nside"])
        cut_columns: tuple[str, ...] = (*(shards.CUT_COLUMNS if spec["kind"] == "mosaic" else shards.CUTOUT_COLUMNS), EXCLUDED)
        cut_columns = tuple(name for name in cut_columns if name != "row" or name in objects.colnames)
    else:
        shard = shards.hashed_shard_keys(strings(objects["object_id"]), spec["shards"]["buckets"])
        cut_columns = tuple(name for name in ("object_id", "path", "file_version", EXCLUDED) if name in objects.colnames)
    objects["shard"] = shard
    objects.sort(["shard", "object_id"])
    tables.describe(objects, _COLUMNS)
    learned = ["label"] if spec["task"] == "classes" else [*spec["targets"], *spec.get("label_errors", {}).values()]
    if spec["task"] == "fractions":
        learned.append("n_votes")
    return objects, shards.manifest(objects, strings(objects["shard"]), cut_columns, [name for name in dict.fromkeys(learned) if name in objects.colnames])


def _joined(catalogue: Table, matched: Table, rule: Mapping[str, Any]) -> tuple[Table, np.ndarray]:
    """Columns of the second catalogue at the first one's rows, and why a row has none."""
    found, offset = join.align(
        catalogue["ra"],
        catalogue["dec"],
        matched["ra"],
        matched["dec"],
        radius_arcsec=rule["radius_arcsec"],
        mag1=catalogue["mag_f160w"],
        mag2=matched["mag_f160w"],
        max_dmag=rule["magnitude_difference"],
    )
    log.info(
        "%d of %d rows have a partner in %s; its frame lies %+.3f, %+.3f arcsec off (rms %.3f)", len(found.left), len(catalogue), rule["name"], *offset[:3]
    )
    take = [name for name in matched.colnames if name not in ("field", "ra", "dec") and not name.startswith("mag_")]
    joined = join.take_columns(catalogue, matched, found, take, prefix=f"{rule['name']}_")
    excluded = np.full(
        len(catalogue), f"no counterpart in {rule['name']} within {rule['radius_arcsec']:g} arcsec and {rule['magnitude_difference']:g} mag", dtype=object
    )
    excluded[found.left] = ""
    # A galaxy that was classified twice has one counterpart: it holds for both rows.
    galaxy = strings(catalogue["galaxy_id"])
    has = np.isin(galaxy, galaxy[found.left])
    excluded[has] = ""
    joined.meta = {
        **catalogue.meta,
        "match": {"origin": matched.meta.get("origin"), "offset_arcsec": [offset.ra_arcsec, offset.dec_arcsec], "rms_arcsec": offset.rms_arcsec},
    }
    return joined, excluded


def _sized(objects: Table, sizes: Table, petrosian_radii: float) -> Table:
    identifiers = strings(sizes["object_id"])
    order = np.argsort(identifiers)
    at = np.searchsorted(identifiers, strings(objects["object_id"]), sorter=order)
    at = order[np.minimum(at, len(order) - 1)]
    if len(identifiers) != len(objects) or not np.array_equal(identifiers[at], strings(objects["object_id"])):
        raise SampleError("the measured sizes belong to other objects than the selection: delete sizes.parquet and run again")
    for name in sizes.colnames:
        if name != "object_id":
            objects[name] = sizes[name][at]
    size = "size_used_arcsec" if "size_used_arcsec" in sizes.colnames else "petrosian_radius_arcsec"
    radius: np.ndarray = np.ma.filled(np.ma.asarray(objects[size], float), np.nan)
    side = petrosian_radii * radius
    objects["stamp_arcsec"] = MaskedColumn(np.nan_to_num(side), mask=~(side > 0), unit="arcsec")
    return objects


def _split(objects: Table, rule: Mapping[str, Any]) -> None:
    """Set group_id, split, side and fold_group in place."""
    labelled = np.asarray(objects["labelled"], bool)
    if rule["by"] == "column":
        objects["group_id"] = strings(objects["galaxy_id"])
        side = strings(objects["given_split"])
        unknown = sorted(set(side[labelled].tolist()) - {"train", "validation", "test"})
        if unknown:
            raise SampleError(f"column {rule['column']!r} says {', '.join(map(repr, unknown))}; it must say train, validation or test")
        objects["side"], objects["split"] = side, np.where(labelled, side, "unlabelled")
    else:
        on_sky = "ra" in objects.colnames
        group = groups.group_ids(objects, rule["by"], rule["healpix_nside"])
        objects["group_id"] = group
        stamp: np.ndarray | float = np.ma.filled(np.ma.asarray(objects["stamp_arcsec"], float), np.nan) if on_sky else 0.0
        found = splits.assign_split(
            strings(objects["galaxy_id"]),
            group,
            seed=rule["seed"],
            validation=rule["validation"],
            test=rule["test"],
            labelled=labelled,
            ra=objects["ra"] if on_sky else None,
            dec=objects["dec"] if on_sky else None,
            same_arcsec=rule.get("same_arcsec", SAME_ARCSEC) if on_sky else 0.0,
            guard_arcsec=stamp if rule["by"] == "healpix" else 0.0,
            nside=rule["healpix_nside"] if rule["by"] == "healpix" else None,
            method="dealt" if rule["by"] == "field" else "hashed",
        )
        objects["split"], objects["side"] = found.split, found.side
    fields = strings(objects["field"]) if "field" in objects.colnames else np.array([""])
    objects["fold_group"] = fields if len(set(fields.tolist())) > 1 else strings(objects["group_id"])
    log.info("split: %s", dict(zip(*(part.tolist() for part in np.unique(strings(objects["split"]), return_counts=True)), strict=True)))


def _put_aside(objects: Table, other: Mapping[str, np.ndarray]) -> None:
    """Test objects within `LEAK_ARCSEC` of what another sample trains on or validates with become guard."""
    seen = np.isin(np.asarray(other["split"]).astype(str), ("train", "validation"))
    split = strings(objects["split"])
    test = np.flatnonzero(split == "test")
    there_ra, there_dec = (groups.filled(other[name])[seen] for name in ("ra", "dec"))
    ra, dec = (groups.degrees(objects, name)[test] for name in ("ra", "dec"))
    _, row, _ = join.pairs_within(there_ra, there_dec, ra, dec, LEAK_ARCSEC)
    split[test[np.unique(row)]] = "guard"
    objects["split"] = split
    log.info("%d test objects are put aside: another sample learns from them", len(np.unique(row)))


def _report(found: labels.Labelled, from_table: bool) -> None:
    if not np.any(np.asarray(found.objects["labelled"], bool)) and from_table:
        raise SampleError("no label fits an object: do the ids of the label table and of the sample follow the same rule?")
    kinds, numbers = np.unique(strings(found.problems["problem"]), return_counts=True) if len(found.problems) else ((), ())
    log.info(
        "%d objects, %d labelled; %s", len(found.objects), int(np.sum(found.objects["labelled"])), dict(zip(map(str, kinds), map(int, numbers), strict=True))
    )
