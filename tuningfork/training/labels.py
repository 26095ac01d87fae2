"""Targets of a task from the columns of the table of objects, checked row by row."""

from collections.abc import Mapping, Sequence

import numpy as np

from tuningfork.errors import ModelError
from tuningfork.training.arrays import name_some

__all__ = ["read_targets"]


def read_targets(objects: Mapping[str, np.ndarray], ids: np.ndarray, targets: Sequence[str], task: str, label_column: str = "label") -> np.ndarray:
    """Targets as (N, K) float64: fractions, one-hot classes, or plain numbers; `ModelError` names the ids whose labels do not fit the task."""
    needed = [label_column] if task == "classes" else list(targets)
    if missing := [name for name in needed if name not in objects]:
        raise ModelError(f"the table of objects has no column {', '.join(map(repr, missing))} for task {task}; it has {', '.join(objects)}")
    if task == "classes":
        labels = np.asarray(objects[label_column]).astype(str)
        known = np.array([str(name) for name in targets])
        if not (ok := np.isin(labels, known)).all():
            raise ModelError(f"label {str(labels[~ok][0])!r} of {name_some(ids[~ok])} is none of the classes {', '.join(known)}")
        return (labels[:, None] == known[None, :]).astype(float)
    values: np.ndarray = np.stack([np.ma.filled(np.ma.asarray(objects[name], dtype=float), np.nan) for name in targets], axis=1)
    if not (ok := np.isfinite(values).all(axis=1)).all():
        raise ModelError(f"{int((~ok).sum())} object(s) of the training or validation split have no value in {', '.join(targets)}: {name_some(ids[~ok])}")
    if task == "fractions":
        ok = (values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) < 1e-3)
        if not ok.all():
            raise ModelError(f"fractions {', '.join(targets)} are negative or do not sum to 1 for {int((~ok).sum())} object(s): {name_some(ids[~ok])}")
        values /= values.sum(axis=1, keepdims=True)
    return values
