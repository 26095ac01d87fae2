"""Targets of a task from the columns of the table of objects, checked row by row."""

from collections.abc import Mapping, Sequence

import numpy as np

from tuningfork.errors import ModelError
from tuningfork.training.arrays import name_some

__all__ = ["label_sigmas", "read_targets", "vote_counts"]

ROUNDING = 0.01
"""What a published fraction may be off by rounding: counts are wrong by at most this times the number of votes, and a little."""


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


def vote_counts(objects: Mapping[str, np.ndarray], ids: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Counts of votes (N, K) from fractions (N, K) that sum to 1 and the column ``n_votes``: whole, and of that sum (largest remainders get the rest).

    Raises
    ------
    ModelError
        No such column, a row without votes, or fractions that are no whole numbers of votes; the ids are named.
    """
    if "n_votes" not in objects:
        raise ModelError("loss dirichlet_multinomial needs the number of classifiers of each object, and the table of objects has no column n_votes")
    votes = _numbers(objects["n_votes"])
    if not (ok := (votes >= 1) & (votes == np.round(votes))).all():
        raise ModelError(
            f"loss dirichlet_multinomial: {int((~ok).sum())} labelled object(s) have no whole number of votes in n_votes: {name_some(ids[~ok])}; "
            "select objects that have one, or use per_sample_rmse"
        )
    exact = fractions * votes[:, None]
    counts = np.floor(exact)
    rank = (-(exact - counts)).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    counts += rank < np.round(votes - counts.sum(axis=1))[:, None]
    if not (ok := np.abs(exact - counts).max(axis=1) <= ROUNDING * votes + 0.02).all():
        raise ModelError(
            f"loss dirichlet_multinomial: the fractions of {int((~ok).sum())} object(s) are no whole numbers of their n_votes: {name_some(ids[~ok])}; "
            "could several boxes be ticked (votes: independent)?"
        )
    return counts


def label_sigmas(objects: Mapping[str, np.ndarray], ids: np.ndarray, targets: Sequence[str], columns: Mapping[str, str]) -> np.ndarray:
    """Standard deviations of the labels (N, K), in the units of the targets: from the column that `columns` names for a target, 0 where it names none.

    Raises
    ------
    ModelError
        A name that is no target, no such column, or a labelled object whose error is no number of at least 0.
    """
    if unknown := [name for name in columns if name not in targets]:
        raise ModelError(f"label_errors: {unknown[0]!r} is no target of the sample; the targets are {', '.join(targets)}")
    if missing := [name for name in columns.values() if name not in objects]:
        raise ModelError(f"label_errors: the table of objects has no column {missing[0]!r}; it has {', '.join(objects)}")
    found = np.zeros((len(ids), len(targets)))
    for target, column in columns.items():
        values = _numbers(objects[column])
        if not (ok := np.isfinite(values) & (values >= 0)).all():
            raise ModelError(f"label_errors: {int((~ok).sum())} labelled object(s) have no error of {target} in {column}: {name_some(ids[~ok])}")
        found[:, list(targets).index(target)] = values
    return found


def _numbers(column: np.ndarray) -> np.ndarray:
    """A column (N,) as float64, NaN where it is masked, empty or no number: a CSV of the user's own comes as text."""
    if np.asarray(column).dtype.kind in "OUS":
        column = np.array([_number(value) for value in np.asarray(column).tolist()])
    found: np.ndarray = np.ma.filled(np.ma.asarray(column, dtype=float), np.nan)
    return found


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return float("nan")
