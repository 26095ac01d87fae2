"""Objects and predictions joined: which rows have a label and a prediction, and how rows are grouped by filter, magnitude and zoom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tuningfork.errors import SampleError

USABLE = ("ok", "partial")
TASKS = ("fractions", "classes", "regression")
FEW_GROUPS = 5
Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Rows:
    """Labels and predictions of the same N objects.

    Attributes
    ----------
    objects : dict of (N,) arrays
        The columns of the objects table, in its own order.
    observed : (N, K) array
        Labels; one-hot for classes; nan where there is none.
    predicted : (N, K) array
        Predictions; nan where there is none.
    predictions : dict of (N,) arrays
        The other columns of the predictions, in the order of the objects.
    labelled, usable : (N,) bool arrays
        Has a label; has a stamp that a network can use.
    """

    objects: dict[str, np.ndarray]
    observed: np.ndarray
    predicted: np.ndarray
    predictions: dict[str, np.ndarray]
    labelled: np.ndarray
    usable: np.ndarray

    def __len__(self) -> int:
        return len(self.observed)

    @property
    def comparable(self) -> np.ndarray:
        """Rows that have a usable stamp, a label and a prediction."""
        return self.usable & self.labelled & np.isfinite(self.predicted).all(axis=1)

    def split(self, name: str) -> np.ndarray:
        """Rows of one split."""
        return np.asarray(self.objects["split"]) == name

    def fold(self) -> np.ndarray:
        """The fold that predicted each row out of fold, -1 where none did."""
        fold = np.asarray(self.predictions.get("fold", np.full(len(self), -1.0)), float)
        return np.where(np.isfinite(fold), fold, -1).astype(int)


def join(objects: Columns, predictions: Columns, targets: Sequence[str], task: str, label: str = "label") -> Rows:
    """Join predictions to objects by object_id.

    Parameters
    ----------
    objects, predictions : mapping of arrays
        As `tables.read_columns` gives them. Each must have unique ``object_id``; a prediction without its object is an error, an object without
        prediction is kept.
    targets : sequence of str
        Names of the prediction columns and, unless `task` is ``classes``, of the label columns.
    task : str
        ``fractions``, ``classes`` or ``regression``.
    label : str
        For ``classes``: the column of the objects that holds the name of the class, which is one of `targets`.

    Raises
    ------
    SampleError
        Unknown task, missing column, duplicate or unknown ids, a class that is not among the targets.
    """
    if task not in TASKS:
        raise SampleError(f"unknown task {task!r}; one of {', '.join(TASKS)}")
    needed = ["object_id", "split", *([label] if task == "classes" else targets)]
    if missing := [name for name in needed if name not in objects]:
        raise SampleError(f"the objects table has no column {', '.join(missing)}")
    if missing := [name for name in ("object_id", *targets) if name not in predictions]:
        raise SampleError(f"the predictions have no column {', '.join(missing)}")
    place = _place(np.asarray(objects["object_id"]), np.asarray(predictions["object_id"]))
    n = len(objects["object_id"])
    found = np.zeros(n, bool)
    found[place] = True
    spread = {name: _scatter(np.asarray(values), place, n) for name, values in predictions.items() if name != "object_id"}
    predicted = np.column_stack([np.asarray(spread[t], float) for t in targets])
    if task == "classes":
        observed = _one_hot(np.asarray(objects[label]).astype(str), targets, label)
    else:
        observed = np.column_stack([np.asarray(objects[t], float) for t in targets])
    labelled = np.isfinite(observed).all(axis=1)
    if "labelled" in objects:
        labelled &= np.nan_to_num(np.asarray(objects["labelled"], float)).astype(bool)
    status = np.asarray(spread["status"]) if "status" in spread else np.where(found, "ok", "")
    return Rows(dict(objects), observed, predicted, spread, labelled, np.isin(status, USABLE))


def _place(object_id: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    for ids, what in ((object_id, "the objects table"), (wanted, "the predictions")):
        values, counts = np.unique(ids, return_counts=True)
        if (counts > 1).any():
            raise SampleError(f"object_id {values[counts > 1][0]} stands {counts.max()} times in {what}; ids must be unique")
    order = np.argsort(object_id, kind="stable")
    place = np.searchsorted(object_id[order], wanted)
    known = (place < len(order)) & (object_id[order][np.minimum(place, len(order) - 1)] == wanted) if len(order) else np.zeros(len(wanted), bool)
    if not known.all():
        raise SampleError(
            f"{(~known).sum()} predictions belong to no object, the first is {wanted[~known][0]}; objects and predictions are of different samples"
        )
    return order[place]


def _scatter(values: np.ndarray, place: np.ndarray, n: int) -> np.ndarray:
    if values.dtype.kind in "biuf":
        out = np.full(n, np.nan)
    else:
        out = np.zeros(n, dtype=values.dtype if values.dtype.kind == "U" else object)
    out[place] = values
    return out


def _one_hot(names: np.ndarray, targets: Sequence[str], label: str) -> np.ndarray:
    one_hot = np.array([names == t for t in targets], dtype=float).T.reshape(len(names), len(targets))
    unknown = (names != "") & (one_hot.sum(axis=1) == 0)
    if unknown.any():
        raise SampleError(f"column {label!r} holds {str(names[unknown][0])!r}, which is none of the classes {', '.join(targets)}")
    return np.where(names[:, None] == "", np.nan, one_hot)


def filter_group(bands: np.ndarray) -> np.ndarray:
    """UV, optical or NIR of Hubble filters such as f275w (200-400 nm), f814w, f105w (WFC3/IR, in tens of nm); others keep their own name."""
    names, index = np.unique(np.asarray(bands).astype(str), return_inverse=True)
    groups = []
    for name in names:
        digits = name[1:4]
        if not (name[:1].lower() == "f" and digits.isdigit()):
            groups.append(name)
        else:
            groups.append("NIR" if int(digits) < 200 else "UV" if int(digits) < 400 else "optical")
    return np.array(groups, dtype=str)[index] if len(names) else np.zeros(0, str)


def numbers(column: np.ndarray) -> np.ndarray:
    """A column (N,) as float64; NaN where it is empty or no number: the columns of a CSV of one's own are text."""
    column = np.asarray(column)
    if column.dtype.kind not in "OUS":
        return column.astype(float)
    return np.array([_number(value) for value in column.tolist()], dtype=float)


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return float("nan")


def bins(values: np.ndarray, edges: Sequence[float], unit: str = "") -> np.ndarray:
    """The name of the bin of each value: ``< a``, ``a to b``, ..., ``>= z``; '' for nan. A value on an edge belongs to the bin above."""
    edges = [float(e) for e in edges]
    suffix = f" {unit}" if unit else ""
    names = [f"< {edges[0]:g}{suffix}", *(f"{a:g} to {b:g}{suffix}" for a, b in pairwise(edges)), f">= {edges[-1]:g}{suffix}"]
    values = np.asarray(values, float)
    return np.where(np.isfinite(values), np.array(names)[np.digitize(np.nan_to_num(values), edges)], "")


def resampling_groups(objects: Columns, chosen: np.ndarray, groups: str) -> tuple[str, np.ndarray]:
    """What is resampled among the `chosen` rows: column `groups`, or galaxy_id when that has fewer than 5 values there (too few for an interval).

    Returns
    -------
    name : str
        The column that was used.
    values : (M,) array
        Its values for the chosen rows.
    """
    for name in (groups, "galaxy_id"):
        if name in objects:
            values = np.asarray(objects[name])[chosen]
            if name == "galaxy_id" or len(np.unique(values)) >= FEW_GROUPS or "galaxy_id" not in objects:
                return name, values
    raise SampleError(f"the objects table has neither {groups} nor galaxy_id; confidence intervals need groups")
