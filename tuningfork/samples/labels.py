"""Labels for the objects of a sample: which rows have a usable one, and what is wrong with the others. Nothing is dropped here."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from astropy.table import MaskedColumn, Table

from tuningfork.catalogues.columns import strings
from tuningfork.catalogues.image_labels import numbers
from tuningfork.errors import SampleError

Task = Literal["fractions", "regression", "classes"]
SUM_TOLERANCE = 0.02


class Labelled(NamedTuple):
    """Objects with their target columns, `labelled` and `label_reason`; and the table of problems (object_id, problem, detail)."""

    objects: Table
    problems: Table


def duplicates(identifiers: np.ndarray | Sequence[str]) -> np.ndarray:
    """The identifiers that stand more than once, sorted."""
    values, counts = np.unique(np.asarray(identifiers), return_counts=True)
    return values[counts > 1]


def refuse_duplicates(identifiers: np.ndarray | Sequence[str], what: str) -> None:
    """Raise SampleError naming (up to ten of) the identifiers that stand more than once."""
    twice = duplicates(identifiers)
    if len(twice):
        named = ", ".join(map(str, twice[:10].tolist())) + (", ..." if len(twice) > 10 else "")
        raise SampleError(f"{what}: {len(twice)} identifier{'s' if len(twice) > 1 else ''} not unique: {named}")


def target_columns(table: Table, targets: Sequence[str], task: Task, class_column: str | None = None) -> list[str]:
    """The columns that hold the labels of a task: the targets themselves, or the one column of class names."""
    if task == "classes":
        if class_column is None:
            raise SampleError("a task of classes needs the name of the column that holds them")
        wanted = [class_column]
    else:
        wanted = list(targets)
    if not wanted:
        raise SampleError("no targets are named")
    missing = [name for name in wanted if name not in table.colnames]
    if missing:
        raise SampleError(f"the labels have no column {', '.join(map(repr, missing))}; they have {', '.join(table.colnames)}")
    return wanted


def check(
    table: Table, targets: Sequence[str], task: Task, class_column: str | None = None, tolerance: float = SUM_TOLERANCE
) -> tuple[dict[str, Any], np.ndarray]:
    """Read the target columns and say, row by row, why there is no label.

    Parameters
    ----------
    table : Table
        Labels, as text or numbers.
    targets : sequence of str
        Columns of fractions (which sum to 1 within `tolerance`) or of numbers; for classes the known class names (empty: any).
    task : {'fractions', 'regression', 'classes'}
    class_column : str, optional
        The column of class names.

    Returns
    -------
    columns : dict of str to masked array
        The label columns, masked where unusable.
    reason : array of str, shape (N,)
        '' where the label is usable.
    """
    names = target_columns(table, targets, task, class_column)
    if task == "classes":
        text = strings(table[names[0]])
        known = np.isin(text, list(targets)) if len(targets) else text != ""
        reason = np.where(text == "", "no class", np.where(known, "", np.char.add(np.char.add("class ", text), " is not among the targets")))
        return {names[0]: np.ma.MaskedArray(text, mask=reason != "")}, reason.astype(str)
    read = [_numbers(table, name) for name in names]
    values = np.ma.stack([r[0] for r in read], axis=1)
    wrong = np.any([r[1] for r in read], axis=0)
    missing = np.ma.getmaskarray(values)
    if task == "regression":
        reason = np.select([wrong, missing.any(axis=1)], ["a target is not a finite number", "a target is missing"], default="")
    else:
        filled = np.ma.filled(values, 0.0)
        total = filled.sum(axis=1)
        outside = ((filled < -tolerance) | (filled > 1 + tolerance)).any(axis=1)
        off = np.abs(total - 1) > tolerance
        sums = np.char.add("the fractions sum to ", np.char.mod("%.4g", total)) if len(total) else np.array([], dtype=str)
        reason = np.select(
            [wrong, missing.all(axis=1), missing.any(axis=1), outside, off],
            ["a fraction is not a finite number", "no fractions", "a fraction is missing", "a fraction is outside 0 to 1", sums],
            default="",
        )
    mask = missing | (reason != "")[:, None]
    return {name: np.ma.MaskedArray(np.where(mask[:, i], 0.0, np.ma.getdata(values)[:, i]), mask=mask[:, i]) for i, name in enumerate(names)}, reason.astype(
        str
    )


def attach(
    objects: Table,
    labels: Table,
    targets: Sequence[str],
    *,
    task: Task = "fractions",
    id_column: str = "ID",
    object_column: str = "object_id",
    class_column: str | None = None,
    tolerance: float = SUM_TOLERANCE,
) -> Labelled:
    """Join a label table to objects by identifier.

    Every object comes back in its order. An object without a label row, or with one that is unusable, has `labelled` = False and the reason
    in `label_reason`; labels that fit no object are listed among the problems.

    Raises
    ------
    SampleError
        Identifiers of the labels are not unique, or a target column is missing.
    """
    label_id = strings(labels[id_column])
    refuse_duplicates(label_id, "the labels")
    columns, reason = check(labels, targets, task, class_column, tolerance)
    object_id = strings(objects[object_column])
    order = np.argsort(label_id)
    position = np.searchsorted(label_id, object_id, sorter=order) if len(label_id) else np.zeros(len(object_id), int)
    row = order[np.minimum(position, len(order) - 1)] if len(order) else np.zeros(len(object_id), int)
    found = label_id[row] == object_id if len(order) else np.zeros(len(object_id), bool)

    result = objects.copy()
    for name, values in columns.items():
        data = np.ma.getdata(values)
        new = np.zeros(len(objects), dtype=data.dtype)
        mask = np.ones(len(objects), bool)
        new[found] = data[row[found]]
        mask[found] = np.ma.getmaskarray(values)[row[found]]
        result[name] = MaskedColumn(new, mask=mask, description=labels[name].info.description, meta=labels[name].info.meta)
    reasons = np.full(len(objects), "no label", dtype=object)
    reasons[found] = reason[row[found]]
    result["label_reason"] = reasons.astype(str) if len(reasons) else np.array([], dtype="U1")
    result["labelled"] = result["label_reason"] == ""
    orphan = ~np.isin(label_id, object_id)
    without = ~found
    unusable = found & (reasons != "")
    problems = Table(
        [
            np.concatenate([object_id[unusable], object_id[without], label_id[orphan]]).astype(str),
            np.repeat(["unusable label", "object without label", "label without object"], [unusable.sum(), without.sum(), orphan.sum()]).astype(str),
            np.concatenate([reasons[unusable].astype(str), np.full(without.sum(), ""), np.full(orphan.sum(), "")]).astype(str),
        ],
        names=["object_id", "problem", "detail"],
    )
    return Labelled(result, problems)


def from_catalogue(
    objects: Table, targets: Sequence[str], *, task: Task = "fractions", class_column: str | None = None, tolerance: float = SUM_TOLERANCE
) -> Labelled:
    """Labels that the catalogue already holds as columns: sets `labelled` and `label_reason` (a reason the catalogue gave goes first).

    Raises
    ------
    SampleError
        A target column is missing.
    """
    columns, reason = check(objects, targets, task, class_column, tolerance)
    result = objects.copy()
    if "label_reason" in objects.colnames:
        given = strings(objects["label_reason"])
        reason = np.where(given != "", given, reason)
    for name, values in columns.items():
        column = MaskedColumn(np.ma.getdata(values), mask=np.ma.getmaskarray(values) | (reason != ""))
        column.info.description, column.info.meta = objects[name].info.description, objects[name].info.meta
        result[name] = column
    result["label_reason"] = reason
    result["labelled"] = reason == ""
    bad = reason != ""
    problems = Table(
        [strings(objects["object_id"])[bad].astype(str), np.full(bad.sum(), "unusable label"), reason[bad]], names=["object_id", "problem", "detail"]
    )
    return Labelled(result, problems)


def _numbers(table: Table, name: str) -> tuple[np.ma.MaskedArray, np.ndarray]:
    if table[name].dtype.kind in "OUS":
        return numbers(Table({name: strings(table[name])}), name)
    data = np.ma.asarray(table[name].data)
    values = np.ma.getdata(data).astype(float)
    infinite = np.isinf(values)
    mask = np.ma.getmaskarray(data) | ~np.isfinite(values)
    return np.ma.MaskedArray(np.where(mask, 0.0, values), mask=mask), infinite & ~np.ma.getmaskarray(data)
