"""A folder of images and a CSV of labels as a sample: every image and every label row becomes one row, whether or not they find each other.

No image is opened here; `samples.images` finds them.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.table import MaskedColumn, Table

from tuningfork import tables
from tuningfork.catalogues.columns import COLUMNS, empty_floats, find, strings
from tuningfork.catalogues.image_labels import numbers, read_csv
from tuningfork.errors import CatalogueError, SampleError
from tuningfork.samples.images import EXTENSIONS, list_images, locate, new_identifiers
from tuningfork.samples.labels import SUM_TOLERANCE, Task, check, refuse_duplicates
from tuningfork.samples.splits import SPLITS

log = logging.getLogger(__name__)

SPLIT_NAMES = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test", "testing": "test"}
FOLDER_COLUMNS = {
    **{name: COLUMNS[name] for name in ("object_id", "galaxy_id", "field", "ra", "dec", "petrosian_radius_arcsec", "petrosian_flag")},
    "group_id": (None, "meta.id.assoc", "What is never divided between training and test"),
    "path": (None, "meta.ref.url", "Image, relative to the sample's folder; empty where there is none"),
    "file_version": (None, "meta.version", "Size (bytes) and modification time (ns) of the image; empty where there is none"),
    "exclude_status": (None, "meta.code.status", "Status of an object that gets no stamp: absent or failed; empty for the others"),
    "exclude_reason": (None, "meta.note", "Why the object gets no stamp, decided before any pixel was read; empty for the others"),
    "label": (None, "src.class", "Class"),
    "given_split": (None, "meta.code.class", "Side of the split that the label file gives"),
    "labelled": (None, "meta.code", "Whether the object has a usable label"),
    "label_reason": (None, "meta.note", "Why it has none"),
    "stamp_arcsec": ("arcsec", "phys.angSize;instr.fov", "Side of the image on the sky, where known"),
}
_RESERVED = (
    *(name for name in FOLDER_COLUMNS if name not in ("ra", "dec", "petrosian_radius_arcsec", "stamp_arcsec")),
    "side",
    "split",
    "band",
    "shard",
    "fold_group",
)


class FolderSample(NamedTuple):
    """`objects`: one row an image or label row; `problems`: object_id, problem, detail."""

    objects: Table
    problems: Table


def read_folder(
    folder: str | Path,
    labels: str | Path | Table | None = None,
    *,
    targets: Sequence[str] = (),
    task: Task = "regression",
    id_column: str | None = None,
    path_column: str | None = None,
    class_column: str | None = None,
    split_column: str | None = None,
    split_names: Mapping[str, str] | None = None,
    group_column: str | None = None,
    ra_column: str | None = None,
    dec_column: str | None = None,
    suffix: str = "",
    extensions: Sequence[str] = EXTENSIONS,
    tolerance: float = SUM_TOLERANCE,
    comment: str = "#",
) -> FolderSample:
    """Read a folder of images, with or without labels.

    Parameters
    ----------
    folder : path
        Images, in subfolders too.
    labels : path or Table, optional
        CSV (see `read_csv`) with one row an image; None: all images are unlabelled, as when a trained network is applied to them.
    targets, task, class_column
        See `samples.labels.check`.
    id_column : str, optional
        Identifiers (text). Without `path_column` they are matched with the files' names without extension, with or without subfolder.
    path_column : str, optional
        Paths relative to `folder`. Without `id_column` the path without its extension is the identifier.
    suffix : str
        With identifiers alone, ``<identifier><suffix>`` goes before other files of that name.
    split_column : str, optional
        A split made elsewhere, kept as `given_split`; `split_names` translates its values (default: train, val, valid, validation, test).
    group_column : str, optional
        What must not be divided: rows with the same value share `group_id` and `galaxy_id`. Default: each image by itself.
    ra_column, dec_column : str, optional
        Positions in degrees; default: columns named ra and dec, where they hold numbers.

    Returns
    -------
    FolderSample
        `objects` sorted by id, with every column of the CSV (text) and the targets as numbers, or `label` for classes. `exclude_status` is
        '' where the image is there, 'absent' where a label has none and 'failed' where its path leaves the folder or fits several files.
        Images without label have `labelled` = False.

    Raises
    ------
    SampleError
        No image and no label, identifiers or paths that stand twice, an unknown split value, neither an id nor a path column.
    CatalogueError
        A named column is not in the CSV (the nearest name is given).
    """
    images = list_images(folder, extensions)
    if labels is None:
        rows, where = Table({"object_id": np.array([], dtype="U1")}), str(folder)
        status = reason = path = np.array([], dtype=object)
    else:
        rows, where = (labels.copy(), "labels") if isinstance(labels, Table) else (read_csv(labels, comment), str(labels))
        if id_column is None and path_column is None:
            raise SampleError(f"{where}: name the column of identifiers (id_column) or of paths (path_column)")
        rename = _free_reserved_names(rows, where, targets if task != "classes" else ())
        id_column, path_column, class_column = (rename.get(c, c) for c in (id_column, path_column, class_column))
        split_column, group_column = (rename.get(c, c) for c in (split_column, group_column))
        identifier, path, status, reason = locate(rows, where, Path(folder), images, id_column, path_column, suffix, extensions)
        refuse_duplicates(identifier, where)
        refuse_duplicates(path[path != ""].astype(str), f"{where}: images")
        rows["object_id"] = identifier.astype(str) if len(identifier) else np.array([], dtype="U1")
    new = sorted(set(images) - set(path.tolist()))
    taken = set(strings(rows["object_id"]).tolist())
    new_ids = new_identifiers(new, taken, id_column is not None, extensions)
    if not len(rows) and not new:
        raise SampleError(f"{folder}: no images ({', '.join(extensions)}) and no labels")

    objects = _extend(rows, len(new))
    objects["object_id"] = np.array([*strings(rows["object_id"]).tolist(), *new_ids], dtype=str)
    refuse_duplicates(strings(objects["object_id"]), str(folder))
    objects["path"] = np.array([*path.tolist(), *new], dtype=str)
    objects["file_version"] = np.array([_version(Path(folder) / name) if name else "" for name in objects["path"].tolist()], dtype=str)
    objects["exclude_status"] = np.array([*status.tolist(), *[""] * len(new)], dtype=str)
    objects["exclude_reason"] = np.array([*reason.tolist(), *[""] * len(new)], dtype=str)
    _add_labels(objects, len(rows), targets, task, class_column, tolerance, where if labels is not None else None)
    _add_groups(objects, len(rows), where, group_column, Path(folder).name)
    _add_positions(objects, where, ra_column, dec_column)
    if split_column is not None:
        _add_split(objects, len(rows), where, split_column, split_names)
    objects = objects[np.argsort(strings(objects["object_id"]), kind="stable")]
    first = [name for name in FOLDER_COLUMNS if name in objects.colnames]
    objects = objects[[*first, *(name for name in objects.colnames if name not in first)]]
    tables.describe(objects, FOLDER_COLUMNS)
    objects.meta = {"origin": {"catalogue": "folder", "folder": Path(folder).name, "simulated": False}}
    return FolderSample(objects, _problems(objects))


def select_folder_sample(spec: Mapping[str, Any]) -> Table:
    """The objects of a folder sample from its sections of the configuration: ``folder``, ``labels``, ``task``, ``targets``, ``split``.

    Raises
    ------
    SampleError, CatalogueError
        As `read_folder`; and where there are labels, but none that can be used.
    """
    named = spec.get("labels") or {}
    found = read_folder(
        spec["folder"],
        named.get("file"),
        targets=list(spec["targets"]),
        task=spec["task"],
        id_column=named.get("id_column"),
        path_column=named.get("path_column"),
        class_column=named.get("label_column"),
        group_column=named.get("group_column"),
        suffix=named.get("suffix") or "",
        split_column=spec["split"].get("column") if named else None,
    )
    kinds, numbers_of = np.unique(strings(found.problems["problem"]), return_counts=True) if len(found.problems) else ((), ())
    log.info(
        "%d objects, %d labelled; %s",
        len(found.objects),
        int(np.sum(found.objects["labelled"])),
        ", ".join(f"{n} x {kind}" for kind, n in zip(kinds, numbers_of, strict=True)) or "no problems",
    )
    if named and not np.any(found.objects["labelled"]):
        reasons, numbers_of = np.unique(strings(found.objects["label_reason"]), return_counts=True)
        raise SampleError(
            f"{named['file']}: no usable label: {', '.join(f'{n} x {why}' for why, n in zip(reasons.tolist(), numbers_of.tolist(), strict=True))}"
        )
    return found.objects


def _version(image: Path) -> str:
    """What tells new bytes under an old name, so that the shard of a picture that was exchanged is read again."""
    stat = image.stat()
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _free_reserved_names(rows: Table, where: str, targets: Sequence[str]) -> dict[str | None, str]:
    """Columns of the CSV that bear the name of one of ours are kept as ``<name>_csv``; returns old to new name."""
    clash = [name for name in _RESERVED if name in rows.colnames]
    wrong = sorted({*clash} & {*targets})
    if wrong:
        raise SampleError(f"{where}: {', '.join(map(repr, wrong))} cannot be a target, the sample has a column of that name; rename it in the CSV")
    for name in clash:
        rows.rename_column(name, f"{name}_csv")
    return {name: f"{name}_csv" for name in clash}


def _extend(rows: Table, extra: int) -> Table:
    """`rows` with `extra` more that are masked in every column."""
    result = Table()
    for name in rows.colnames:
        data = np.ma.asarray(rows[name].data)
        values = np.concatenate([np.ma.getdata(data), np.zeros(extra, dtype=data.dtype)])
        result[name] = MaskedColumn(values, mask=np.concatenate([np.ma.getmaskarray(data), np.ones(extra, bool)])) if extra else values
    return result


def _add_labels(objects: Table, n_rows: int, targets: Sequence[str], task: Task, class_column: str | None, tolerance: float, where: str | None) -> None:
    reason = np.full(len(objects), "no label", dtype=object)
    columns: dict[str, np.ma.MaskedArray] = {}
    if where is not None and n_rows and (targets or class_column):
        wanted = [class_column or ""] if task == "classes" else list(targets)
        csv = objects[[name for name in objects.colnames if name not in ("object_id", "path", "exclude_status", "exclude_reason")]]
        found = {name: find(csv, name, where) for name in wanted}
        read = Table({name: strings(objects[column])[:n_rows] for name, column in found.items()})
        columns, why = check(read, targets, task, class_column, tolerance)
        reason[:n_rows] = why
    names = ["label"] if task == "classes" else list(targets)
    for name, values in zip(names, columns.values() if columns else [None] * len(names), strict=True):
        data = np.ma.getdata(values) if values is not None else np.zeros(n_rows, dtype="U1" if task == "classes" else float)
        mask = np.ma.getmaskarray(values) if values is not None else np.ones(n_rows, bool)
        extra = len(objects) - n_rows
        objects[name] = MaskedColumn(np.concatenate([data, np.zeros(extra, dtype=data.dtype)]), mask=np.concatenate([mask, np.ones(extra, bool)]))
    objects["label_reason"] = reason.astype(str)
    objects["labelled"] = reason == ""


def _add_groups(objects: Table, n_rows: int, where: str, group_column: str | None, field: str) -> None:
    identifiers = strings(objects["object_id"])
    group = identifiers.copy()
    if group_column is not None:
        given = strings(objects[find(objects, group_column, where)])
        group = np.where((given != "") & (np.arange(len(objects)) < n_rows), given, identifiers)
    objects["group_id"], objects["galaxy_id"] = group, group.copy()
    objects["field"] = np.full(len(objects), field or "folder")


def _add_positions(objects: Table, where: str, ra_column: str | None, dec_column: str | None) -> None:
    for name, column in (("ra", ra_column), ("dec", dec_column)):
        source = column if column is not None else name if name in objects.colnames else None
        if source is None:
            values = empty_floats(len(objects))
        else:
            read, wrong = numbers(Table({"v": strings(objects[find(objects, source, where)])}), "v")
            if wrong.any() and column is not None:
                raise CatalogueError(f"{where}: column {column!r} holds {strings(objects[column])[wrong][0]!r}, which is no angle in degrees")
            values = MaskedColumn(np.ma.getdata(read), mask=np.ma.getmaskarray(read))
        objects[name] = values
    for name in ("petrosian_radius_arcsec", "stamp_arcsec"):
        if name not in objects.colnames or objects[name].dtype.kind in "OUS":
            objects[name] = empty_floats(len(objects))
    objects["petrosian_flag"] = np.full(len(objects), "none")


def _add_split(objects: Table, n_rows: int, where: str, split_column: str, split_names: Mapping[str, str] | None) -> None:
    names = {**SPLIT_NAMES, **{str(k).lower(): v for k, v in (split_names or {}).items()}}
    wrong = sorted(set(names.values()) - set(SPLITS))
    if wrong:
        raise SampleError(f"split_names leads to {', '.join(map(repr, wrong))}; choose from {', '.join(SPLITS)}")
    given = strings(objects[find(objects, split_column, where)])[:n_rows]
    unknown = sorted({text for text in given.tolist() if text and text.lower() not in names})
    if unknown:
        raise SampleError(f"{where}: column {split_column!r} holds {', '.join(map(repr, unknown[:5]))}; say in split_names what they mean")
    side = np.full(len(objects), "unlabelled", dtype="U10")
    side[:n_rows] = [names[text.lower()] if text else "unlabelled" for text in given.tolist()]
    objects["given_split"] = side


def _problems(objects: Table) -> Table:
    identifiers, status, reason = strings(objects["object_id"]), strings(objects["exclude_status"]), strings(objects["label_reason"])
    parts = [
        (identifiers[status == "absent"], "label without image", strings(objects["exclude_reason"])[status == "absent"]),
        (identifiers[status == "failed"], "image not usable", strings(objects["exclude_reason"])[status == "failed"]),
        (identifiers[reason == "no label"], "image without label", np.full((reason == "no label").sum(), "")),
        (identifiers[(reason != "") & (reason != "no label")], "unusable label", reason[(reason != "") & (reason != "no label")]),
    ]
    columns = [np.concatenate([p[0] for p in parts]), np.repeat([p[1] for p in parts], [len(p[0]) for p in parts]), np.concatenate([p[2] for p in parts])]
    return Table([column.astype(str) for column in columns], names=["object_id", "problem", "detail"])
