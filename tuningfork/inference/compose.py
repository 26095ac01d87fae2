"""The published prediction of every object: out of fold where the main network has seen the object, with the spread over views and networks."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tuningfork.errors import ModelError
from tuningfork.inference.predict import Predictions
from tuningfork.predicted import SIGMA, described, further_columns
from tuningfork.stamps.store import usable

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["compose", "held_out_of", "learned_rows", "prediction_table", "target_columns"]

SEEN = ("train", "validation")
"""Sides of the split that a network has seen: it was fitted to one and chosen by the other."""


def held_out_of(object_id: np.ndarray, fold_objects: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which of `object_id` a fold's network has not seen: True where its own table does not have the object in train or validation.

    Parameters
    ----------
    object_id : ndarray of str, shape (N,)
    fold_objects
        The columns ``object_id`` and ``split`` that the fold's network was trained with.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    split = np.asarray(fold_objects["split"]).astype(str)
    seen = np.asarray(fold_objects["object_id"]).astype(str)[np.isin(split, SEEN)]
    return ~np.isin(object_id, seen)


def compose(
    main: Predictions,
    targets: Sequence[str],
    split: np.ndarray | Sequence[str],
    folds: Sequence[Predictions] = (),
    held_out: np.ndarray | None = None,
    learned: np.ndarray | None = None,
    members: Sequence[Predictions] = (),
) -> dict[str, np.ndarray]:
    """Join the predictions of the main network, of the other members of its ensemble, and of its folds, row by row.

    An object that the ensemble has seen (split train or validation) gets the mean of the fold networks that have not; any other object, and one
    that every network has seen, gets the mean of the ensemble. The spread of an object is the standard deviation over all views of all networks
    that have not seen it (of the ensemble's views, where there is none): each network weighs the same, and has the same number of views.

    Further columns that networks predict of the targets are joined as the values are: quantiles ``<target>_qNN`` by their mean, standard
    deviations ``<target>_sigma`` by their root mean square (the spread between networks is in ``<target>_std``). All others (latents) are those
    of the main network.

    Parameters
    ----------
    main
        Predictions of the main network.
    targets : sequence of str, length K
    split : array of str, shape (N,)
        The side of each object in the main network's split.
    folds
        Predictions of the fold networks, for the same objects in the same order.
    held_out : ndarray of bool, shape (N, len(folds)), optional
        True where the fold's network has not seen the object; needed with folds (see `held_out_of`).
    learned : ndarray of bool, shape (N,), optional
        Objects that the main network learned from; default: those of split train. A network that learns without labels learned from others too.
    members
        Predictions of the other members of the ensemble, which were trained on the same rows as the main network.

    Returns
    -------
    dict
        ``object_id``, ``status``, ``split``, ``fold`` (the first fold network that the value comes from, -1: the ensemble),
        ``in_training`` (learned from, and there was a stamp to learn from), and ``<target>``, ``<target>_std``, ``<target>_main``, NaN where
        there is no usable stamp; then the further columns: of networks that learned a distribution, the quantiles (means over the networks that
        the value comes from) and ``<target>_sigma`` (root of their mean variance: what each network says of the scatter; that between views and
        networks is in ``<target>_std``, and the variances add up), and those of the main network alone (latents).

    Raises
    ------
    ModelError
        Predictions for other objects, or in another order.
    """
    ids = np.asarray(main["object_id"]).astype(str)
    split = np.asarray(split).astype(str)
    held_out = np.zeros((len(ids), 0), dtype=bool) if held_out is None and not folds else np.asarray(held_out, dtype=bool)
    if split.shape != ids.shape or held_out.shape != (len(ids), len(folds)):
        raise ModelError(f"{len(ids)} predictions, {len(split)} sides of a split, {held_out.shape} rows and folds: they do not belong together")
    for what, networks in (("member", members), ("fold", folds)):
        for number, network in enumerate(networks):
            if not np.array_equal(network["object_id"], ids):
                raise ModelError(f"the predictions of {what} {number} are for other objects, or in another order, than those of the main network")
    seen = np.isin(split, SEEN)
    together = [main, *members, *folds]
    size = 1 + len(members)
    means = np.stack([network["mean"] for network in together])
    squares = np.stack([network["std"] for network in together]) ** 2 + means**2
    fair = np.concatenate([np.repeat(~seen[:, None], size, axis=1), held_out], axis=1)
    out_of_fold = seen & held_out.any(axis=1)
    value_weight = np.concatenate([np.repeat(~out_of_fold[:, None], size, axis=1), held_out & out_of_fold[:, None]], axis=1)
    fair[~fair.any(axis=1), :size] = True
    value, first, second = _average(means, value_weight), _average(means, fair), _average(squares, fair)
    std = np.sqrt(np.maximum(second - first**2, 0))
    columns: dict[str, np.ndarray] = {
        "object_id": ids,
        "status": np.asarray(main["status"]),
        "split": split,
        "fold": np.where(out_of_fold, held_out.argmax(axis=1) if len(folds) else -1, -1),
        "in_training": ((split == "train") if learned is None else np.asarray(learned, dtype=bool)) & usable(main["status"]),
    }
    for number, target in enumerate(targets):
        columns |= {target: value[:, number], f"{target}_std": std[:, number], f"{target}_main": main["mean"][:, number]}
    return columns | main.get("columns", {}) | _distribution(together, targets, value_weight)


def _distribution(networks: Sequence[Predictions], targets: Sequence[str], chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Quantiles and standard deviations of the networks with chosen (N, M) true."""
    found = {}
    for column in further_columns(networks[0].get("columns", {}), targets):
        values = np.stack([network["columns"][column.name] for network in networks])[:, :, None]
        power = 2 if column.suffix == SIGMA else 1
        found[column.name] = _average(values**power, chosen)[:, 0] ** (1 / power)
    return found


def learned_rows(objects: Mapping[str, np.ndarray], *, unlabelled: bool) -> np.ndarray:
    """Objects that a network learned from, (N,) bool: those of split train, and (`unlabelled`) those without a label whose side is train."""
    split = np.asarray(objects["split"]).astype(str)
    learned = split == "train"
    if unlabelled and "side" in objects:
        learned |= (split == "unlabelled") & (np.asarray(objects["side"]).astype(str) == "train")
    return learned


def _average(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean over networks: values (M, N, K) of those with chosen (N, M) true, to (N, K)."""
    weight = chosen.T[:, :, None]
    return np.where(weight, values, 0).sum(axis=0) / weight.sum(axis=0)


def prediction_table(
    columns: Mapping[str, np.ndarray],
    targets: Sequence[str],
    task: str,
    meta: Mapping[str, Any] | None = None,
    units: Mapping[str, str] | None = None,
) -> "Table":
    """The columns of `compose` as an astropy table with descriptions and UCDs; values without a usable stamp are masked.

    Parameters
    ----------
    task
        Of the model: fractions and classes are probabilities, a regression has the units of its targets (`units`, {target: unit}).
    meta
        The table's metadata (JSON-able): model, sample, origin.
    """
    from tuningfork.tables import describe

    table = target_columns(columns, targets, task, meta, units)
    describe(
        table,
        {
            "split": (None, "meta.code.class", "side of the split in the training of the main network"),
            "fold": (None, "meta.id", "fold network that the prediction comes from; -1: the main network and its ensemble"),
            "in_training": (None, "meta.code", "the main network was trained on this object"),
            "reconstruction_rmse": (None, "stat.fit.residual", "root mean square difference of the normalised stamp and what the network gives back of it"),
            "ssim": (None, "stat.fit.goodness", "structural similarity of the normalised stamp and what the network gives back of it"),
            **{name: (None, "stat.fit.param", f"mean of latent {int(name[2:])} of the stamp") for name in columns if re.fullmatch(r"z_\d+", name)},
        },
    )
    return table


def target_columns(
    columns: Mapping[str, np.ndarray],
    targets: Sequence[str],
    task: str,
    meta: Mapping[str, Any] | None = None,
    units: Mapping[str, str] | None = None,
) -> "Table":
    """Any columns as an astropy table, NaN masked, those of the targets described; parameters as in `prediction_table`."""
    from astropy.table import MaskedColumn, Table

    from tuningfork.tables import describe

    table = Table(meta=dict(meta or {}))
    for name, values in columns.items():
        table[name] = MaskedColumn(values, mask=~np.isfinite(values)) if values.dtype.kind == "f" else values
    ucd = "stat.value" if task == "regression" else "stat.probability"
    what = "value" if task == "regression" else "probability"
    text: dict[str, tuple[str | None, str, str]] = {}
    for column in further_columns(columns, targets):
        first, words = described(column, task)
        text[column.name] = ((units or {}).get(column.target), f"{first};{ucd}", words)
    text |= {
        "object_id": (None, "meta.id;meta.main", "the object that the row is about"),
        "status": (None, "meta.code.status", "status of the stamp; only ok and partial have a prediction"),
        "reason": (None, "meta.note", "why there is no prediction"),
        "file": (None, "meta.id;meta.file", "the picture, below the folder that was predicted"),
    }
    for target in targets:
        unit = (units or {}).get(target)
        text |= {
            target: (unit, ucd, f"predicted {what} of {target}, mean over views and networks; out of fold, or of a forest's bag, where its label was learned"),
            f"{target}_std": (unit, f"stat.stdev;{ucd}", f"standard deviation of {target} over views and networks that have not seen the object"),
            f"{target}_main": (unit, ucd, f"predicted {what} of {target} by the main network, also where it has seen the object"),
        }
    describe(table, text)
    return table
