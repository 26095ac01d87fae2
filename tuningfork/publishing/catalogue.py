"""The published catalogue: one row for every selected object and filter, with what the network said or why it could not.

`assemble` joins the tables of a sample with the predictions of a model into the long table; `widen` makes one row a galaxy of it. Nothing selected
is lost and nothing is invented: rows in = rows out is checked here, for every catalogue.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import Table

from tuningfork.errors import SampleError
from tuningfork.predicted import further_columns
from tuningfork.publishing import columns, uncertainty
from tuningfork.publishing.columns import COMMON, Spec
from tuningfork.publishing.flags import documentation, flags_of, training_ranges
from tuningfork.publishing.joining import Join, ids_of, match

USABLE = ("ok", "partial")
SIMULATED_MARK = "SIM-"
FILTER_ALIASES = {"F850LP": "F850W"}
_PER_BAND = re.compile(r"mag(_mass)?(_err|_limit)?_(?P<band>f\d{3}[a-z]{1,2})$")
_FEATURES = ("z_", "reconstruction_", "ssim")
_OPTIONAL = ("mag", "mag_err", "petrosian_radius_arcsec", "snr", "n_neighbours")
"""Columns of mosaics that a cutout sample may have no values for; a column of blanks is then left out."""
_SIGNIFICANT = 12
"""Digits of the survey's own numbers: more than any was measured with, and fewer than the noise of binary fractions (0.028876000000000346)."""
_INTERNAL = {
    "band",
    "file_version",
} | {
    "labelled",
    "label_reason",
    "shard",
    "group_id",
    "fold_group",
    "side",
    "reason",
    "exclude_reason",
    "exclude_status",
    "given_split",
}


def assemble(
    objects: Table,
    ledger: Table,
    predictions: Table,
    *,
    targets: Sequence[str],
    task: str,
    scalars: Mapping[str, np.ndarray] | None = None,
    names: Mapping[str, str] | None = None,
    described: Mapping[str, tuple[str | None, str, str]] | None = None,
    meta: Mapping[str, object] | None = None,
    simulated: bool = False,
    calibration: Mapping[str, Any] | None = None,
    sample: str = "",
) -> Table:
    """The long table: a row for each row of the ledger, selected objects first and in their own order.

    Parameters
    ----------
    objects : Table
        objects.parquet: every selected object, with its columns' own units, UCDs and descriptions; ``meta["origin"]["simulated"]`` is obeyed.
    ledger : Table
        object_id, status and reason of every selected object, and of those the selection could not use.
    predictions : Table
        object_id, in_training, target and target_std columns, and quantiles and target_sigma where the network gives them (`tuningfork.predicted`);
        masked where there was no usable stamp.
    targets, task
        Names of the predicted columns; fractions, classes or regression.
    scalars : mapping of arrays, optional
        ``object_id`` and measurements of each stamp (snr, n_neighbours, zoom), as the stamp store keeps them.
    names : mapping, optional
        New names of columns, e.g. ``{"catalogue_id": "clashid", "field": "cluster"}``.
    described : mapping, optional
        (unit, UCD, description) of targets; of a regression, the label's own unit and meaning otherwise.
    meta : mapping, optional
        Facts for the metadata of the table; JSON-able.
    simulated : bool
        The rows come from a simulated sky; the origin of `objects` may say so as well.
    calibration : mapping, optional
        calibration.json of the model, that `predictions` were calibrated with: their ``<target>_lo``, ``<target>_hi`` and ``set`` are then published.
    sample : str
        Name of the sample, to tell it from that of the calibration.

    Raises
    ------
    SampleError
        Ids that are not unique or belong to no object; a selected object that the ledger has lost; simulated ids in a table not marked as simulated.
    """
    targets, cutouts = list(targets), is_cutouts(objects)
    names = {**({"filter": "bands"} if cutouts else {}), **(names or {})}
    selected, in_ledger = ids_of(objects, "objects"), ids_of(ledger, "the ledger")
    lost = np.setdiff1d(selected, in_ledger)
    if len(lost):
        raise SampleError(f"{len(lost)} selected objects are not in the ledger, the first is {lost[0]}: a stamp rule lost them")
    extra = in_ledger[~np.isin(in_ledger, selected)]
    object_id = np.concatenate([selected, extra]).astype(str)
    n = len(object_id)
    simulated = is_simulated(objects, simulated)
    from_objects = Join(objects, np.arange(len(selected)), n)
    from_ledger = Join(ledger, match(object_id, in_ledger, "the ledger"), n)
    from_predictions = Join(predictions, match(object_id, ids_of(predictions, "the predictions"), "the predictions"), n)
    measured = Table({k: np.asarray(v) for k, v in scalars.items()}) if scalars is not None else Table({"object_id": np.array([], dtype=str)})
    from_stamps = Join(measured, match(object_id, ids_of(measured, "the stamps"), "the stamps"), n)

    values: dict[str, Any] = {"object_id": np.ma.asarray(object_id)}
    for name in ("galaxy_id", "catalogue_id", "field"):
        values[name] = from_objects.text(name)
    if "band" in objects.colnames:
        bands = from_objects.text("band").data
        # HST filters are written F160W; the bands of the wide surveys are lower case, and y is not Y.
        values["filter"] = np.ma.asarray(bands if cutouts else np.char.upper(bands))
    for name in ("ra", "dec"):
        # Where a stamp was cut, the WCS at its centre says better where it is than a catalogue of four decimals.
        listed, seen = from_objects.number(name), from_stamps.number(name)
        known = ~np.ma.getmaskarray(seen) & np.isfinite(seen.data)
        values[name] = np.ma.MaskedArray(np.where(known, seen.data, listed.data), mask=np.ma.getmaskarray(listed) & ~known)
    for name in ("mag", "mag_err"):
        values[name] = from_objects.number(name)
    values["mag_limit"] = _own_limit(from_objects, n)
    for name in ("petrosian_radius_arcsec", "stamp_arcsec"):
        values[name] = from_objects.number(name)
    status = from_ledger.text("status").data
    usable = np.isin(status, USABLE)
    predicted = np.ma.column_stack([from_predictions.number(t) for t in targets])
    # A value without a usable stamp would be the network's opinion of zeros.
    predicted.mask = np.ma.getmaskarray(predicted) | ~usable[:, None]
    values |= {t: predicted[:, k] for k, t in enumerate(targets)}
    further = further_columns(predictions.colnames, targets)
    of_network = {**{column.name: column.target for column in further}, **{f"{target}_std": target for target in targets}}
    for name, target in of_network.items():
        spread = from_predictions.number(name)
        values[name] = np.ma.MaskedArray(spread.data, mask=np.ma.getmaskarray(spread) | np.ma.getmaskarray(values[target]))
    uncertain = uncertainty.columns_of(targets, task) if calibration is not None else []
    for name in uncertain:
        end = from_predictions.text(name) if name == "set" else from_predictions.number(name)
        unknown = ~usable if name == "set" else np.ma.getmaskarray(end) | np.ma.getmaskarray(values[name.rsplit("_", 1)[0]])
        values[name] = np.ma.asarray(np.where(unknown, "", end.data)) if name == "set" else np.ma.MaskedArray(end.data, mask=unknown)
    for name in ("snr", "zoom", "n_neighbours"):
        own = from_stamps.number(name) if name in measured.colnames else from_objects.number(name)
        values[name] = own.astype(int) if name == "n_neighbours" else own
    in_training = np.ma.filled(from_predictions.number("in_training"), 0).astype(bool)
    values |= {"status": np.ma.asarray(status), "in_training": np.ma.asarray(in_training), "split": from_objects.text("split")}
    of_folder = any(origin.get("catalogue") == "folder" for origin in origins_of(objects))
    mosaic = not (cutouts or of_folder)
    values["flag"] = np.ma.asarray(flags_of(values, objects, from_objects, usable, predicted, len(selected), training_ranges(values), mosaic=mosaic))
    values["origin"] = np.ma.asarray(np.full(n, "simulated" if simulated else "folder" if of_folder else "archive"))

    specs = COMMON | columns.target_specs(targets, task, {**_described(objects, predictions, targets, task), **(described or {})})
    specs |= {column.name: columns.further_spec(column, task, specs[column.target]) for column in further}
    specs |= uncertainty.specs(targets, task, specs, calibration, sample) if calibration is not None else {}
    table = Table(meta={"simulated": simulated, "frame": "ICRS", "flag_bits": documentation(), "targets": targets, "task": task, **(meta or {})})
    order = ["object_id", "galaxy_id", "catalogue_id", "field", "filter", "ra", "dec", "mag", "mag_err", "mag_limit", "petrosian_radius_arcsec", "stamp_arcsec"]
    order += [*targets, *of_network, *uncertain, "snr", "zoom", "n_neighbours", "flag", "status", "in_training", "split"]
    for name in order:
        if cutouts and name in _OPTIONAL and not _says_anything(values[name]):
            continue
        if name in values and not (
            name in ("catalogue_id", "mag_limit", "galaxy_id", "field") and name not in objects.colnames and not _says_anything(values[name])
        ):
            spec = columns.spec_of(objects[name], specs[name]) if name in objects.colnames and name not in (*targets, *of_network) else specs[name]
            if cutouts and name in columns.CUTOUTS:
                spec = spec._replace(description=columns.CUTOUTS[name].description + _twin(objects, name))
            columns.add(table, names.get(name, name), values[name], spec)
    _add_features(table, predictions, from_predictions, usable, targets)
    _add_labels(table, objects, from_objects, targets, task, specs)
    silent = {"petrosian_flag"} if cutouts and not set(from_objects.text("petrosian_flag").data.tolist()) - {"", "none"} else set()
    _add_own(table, objects, from_objects, {*order, *names.values(), *silent}, names, of_network)
    if task == "classes" and "label" in table.colnames:
        table["label"].info.description = columns.LABEL.description
    columns.add(table, "origin", values["origin"], specs["origin"])
    if "filter" in table.colnames and (aliases := {f: a for f, a in FILTER_ALIASES.items() if f in set(table["filter"].tolist())}):
        table["filter"].info.description += "; " + ", ".join(f"{f} is called {a} in the published description" for f, a in aliases.items())
    check_complete(table, in_ledger)
    return table


def origins_of(table: Table) -> list[dict[str, Any]]:
    """The origins in a table's metadata, as a list."""
    found = table.meta.get("origin", [])
    return [dict(o) for o in (found if isinstance(found, list) else [found])]


def is_cutouts(objects: Table) -> bool:
    """Whether the stamps are cutouts of a service: each object then has the scale that was asked for."""
    return "arcsec_per_pixel" in objects.colnames


def _twin(objects: Table, name: str) -> str:
    """`` (column petroMag_r: Petrosian magnitude in r)`` where a column of the survey's own holds the same numbers as the common column `name`."""
    if name not in ("mag", "petrosian_radius_arcsec") or name not in objects.colnames or not _says_anything(columns.masked(objects, name)):
        return ""
    common = columns.masked(objects, name)
    for other in objects.colnames:
        if other != name and objects[other].ndim == 1 and objects[other].dtype.kind == "f":
            own = columns.masked(objects, other)
            if np.array_equal(np.ma.getmaskarray(own), np.ma.getmaskarray(common)) and np.array_equal(own.filled(0), common.filled(0)):
                return f" (column {other}: {objects[other].info.description or other})"
    return ""


def is_simulated(objects: Table, claimed: bool = False) -> bool:
    """Whether the configuration (`claimed`) or the origin of the objects says simulated; simulated ids without that mark are an error."""
    simulated = claimed or any(bool(o.get("simulated", False)) for o in origins_of(objects))
    ids = np.asarray(objects["object_id"]).astype(str)
    marked = np.char.find(ids, SIMULATED_MARK) >= 0
    if marked.any() and not simulated:
        raise SampleError(f"{ids[marked][0]} is the id of a simulated object, but its table is not marked as simulated: refusing to publish it as data")
    return simulated


def check_complete(table: Table, object_ids: Iterable[str]) -> None:
    """Rows in = rows out: each of `object_ids` once in the table, as it is printed, and nothing else, or SampleError."""
    printed = [columns.printable(str(name)) for name in object_ids]
    if len(set(printed)) < len(printed):
        twice = sorted({name for name in printed if printed.count(name) > 1})
        raise SampleError(f"object ids that differ in characters which cannot be printed alone: {', '.join(map(repr, twice[:3]))}; rename them")
    expected, found = np.sort(np.asarray(printed, dtype=str)), np.sort(np.asarray(table["object_id"]).astype(str))
    if not np.array_equal(expected, found):
        lost, new = np.setdiff1d(expected, found), np.setdiff1d(found, expected)
        raise SampleError(f"catalogue of {len(found)} rows for {len(expected)} objects; lost {lost[:3].tolist()}, invented {new[:3].tolist()}")


def _described(objects: Table, predictions: Table, targets: list[str], task: str) -> dict[str, tuple[str | None, str, str]]:
    """Unit, UCD and description of regressed targets, from the label's column in the objects or the predicted column."""
    result: dict[str, tuple[str | None, str, str]] = {}
    for target in targets if task == "regression" else ():
        label = columns.spec_of(objects[target]) if target in objects.colnames and objects[target].info.description else None
        unit = (label.unit if label else None) or (columns.spec_of(predictions[target]).unit if target in predictions.colnames else None)
        if label or unit:
            ucd = label.ucd if label and label.ucd != "meta.note" else "stat.value;meta.modelled"
            result[target] = (unit, ucd, f"Predicted: {label.description}" if label else f"Predicted {target}")
    return result


def _own_limit(join: Join, n: int) -> np.ma.MaskedArray:
    """The limiting magnitude in each row's own filter: ``mag_limit``, else ``mag_limit_<band>``; only where there is no magnitude."""
    limit = join.number("mag_limit")
    band = join.text("band").data
    for name in join.table.colnames:
        if match := re.fullmatch(r"mag_limit_(\w+)", name):
            here = (band == match[1]) & np.ma.getmaskarray(limit)
            column = join.number(name)
            limit[here] = column[here]
    return np.ma.MaskedArray(limit.data, mask=np.ma.getmaskarray(limit) | ~np.ma.getmaskarray(join.number("mag")))


def _add_features(table: Table, predictions: Table, join: Join, usable: np.ndarray, targets: list[str]) -> None:
    """What else the network says of an object: the coordinates of its latent space, the error of its reconstruction."""
    for name in predictions.colnames:
        if name.startswith(_FEATURES) and name not in targets:
            values = join.number(name)
            values = np.ma.MaskedArray(values.data, mask=np.ma.getmaskarray(values) | ~usable)
            columns.add(table, name, values, columns.spec_of(predictions[name], Spec(None, "stat.value;meta.modelled", name.replace("_", " "), 6)))


def _add_labels(table: Table, objects: Table, join: Join, targets: list[str], task: str, specs: Mapping[str, Spec]) -> None:
    labelled = np.ma.filled(join.number("labelled"), 1 if "labelled" not in objects.colnames else 0).astype(bool)
    for target in targets:
        if task != "classes" and target in objects.colnames:
            label = join.number(target)
            label = np.ma.MaskedArray(label.data, mask=np.ma.getmaskarray(label) | ~labelled)
            if _says_anything(label):
                columns.add(table, f"label_{target}", label, specs[f"label_{target}"])


def _add_own(table: Table, objects: Table, join: Join, used: set[str], names: Mapping[str, str], of_network: Collection[str]) -> None:
    """The survey's own columns, under their own names (``label_`` before one that the network has a column of); magnitudes in other filters are in the
    rows of those filters.
    """
    targets = set(table.meta["targets"])
    names = {**names, **{name: f"label_{name}" for name in of_network}}
    used = used - set(of_network)
    for name in objects.colnames:
        if name in used | _INTERNAL | targets | (set(table.colnames) - set(of_network)) or _PER_BAND.fullmatch(name) or objects[name].ndim != 1:
            continue
        kind = objects[name].dtype.kind
        values: np.ndarray = join.text(name) if kind in "OUS" else join.number(name)
        if kind in "iub":
            values = values.astype(np.int64)
        elif kind == "f":
            values = np.ma.MaskedArray(_significant(np.ma.getdata(values)), mask=np.ma.getmaskarray(values))
        columns.add(table, columns.holdable(names.get(name, name), table.colnames), values, columns.spec_of(objects[name], COMMON.get(name)))


def _significant(values: np.ndarray) -> np.ndarray:
    """Numbers (N,) rounded to so many significant digits that only the noise of binary fractions goes."""
    known = np.isfinite(values) & (values != 0)
    result = np.array(values, dtype=float)
    result[known] = [float(f"{v:.{_SIGNIFICANT}g}") for v in result[known].tolist()]
    return result


def _says_anything(values: np.ma.MaskedArray) -> bool:
    if values.dtype.kind in "OUS":
        return bool((np.asarray(values) != "").any())
    return not np.ma.getmaskarray(values).all()
