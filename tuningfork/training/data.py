"""One model's training and validation rows: stamps and targets joined by object id, the normalisation fitted."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuningfork.errors import ModelError
from tuningfork.stamps.store import usable
from tuningfork.training.arrays import Stamps, name_some
from tuningfork.training.labels import label_sigmas, read_targets, vote_counts
from tuningfork.training.normalisation import fit_normalisation, reuse
from tuningfork.training.pixels import DeviceStamps, check_pixels, sky_columns

__all__ = ["TrainingData", "galaxies", "make_training_data", "usable_rows"]

log = logging.getLogger(__name__)
FIT_STAMPS = 2048
SIDES = ("train", "validation", "test")


@dataclass(frozen=True)
class TrainingData:
    """One model's training and validation rows.

    `targets` (N, K) float32 are what the loss compares (standardised for a regression, one-hot for classes, counts of votes for a loss of counts,
    zeros without a label); where labels have errors of their own, these are K further columns. `object_id` and `galaxy_id` name row i of both;
    positions of `images` are rows of `targets`.
    """

    object_id: np.ndarray
    galaxy_id: np.ndarray
    targets: Tensor
    train: np.ndarray
    validation: np.ndarray
    images: DeviceStamps
    normalisation: dict[str, Any]
    target_mean: list[float] | None
    target_std: list[float] | None

    @property
    def labelled(self) -> np.ndarray:
        """Rows with a class, (N,) bool; of use for task classes."""
        return self.targets.sum(dim=1).cpu().numpy() > 0


def make_training_data(
    stamps: Stamps,
    objects: Mapping[str, np.ndarray],
    targets: Sequence[str],
    task: str,
    normalisation: Mapping[str, Any],
    *,
    device: torch.device,
    budget_bytes: int,
    label_shuffle: np.random.Generator | None = None,
    label_column: str = "label",
    unlabelled: bool = False,
    parent_normalisation: Mapping[str, Any] | None = None,
    counts: bool = False,
    label_errors: Mapping[str, str] | None = None,
    placement: str = "auto",
) -> TrainingData:
    """Join stamps and labels, fit the normalisation on the training rows, bring both to the device.

    Rows whose stamp has no usable status are left out (and counted in the log); their place is the ledger.

    Parameters
    ----------
    objects
        Columns ``object_id``, ``split``, and the targets (for task ``classes``: `label_column` with class names).
    label_shuffle
        Given, the labels are permuted within the training and within the validation rows: a control that can learn nothing but the mean.
    unlabelled
        Rows without a label train and validate too, as their ``side`` says (a network that learns without labels).
    parent_normalisation
        Fitted normalisation of the model that this one starts from; it holds where `normalisation` inherits (see `reuse`).
    counts
        The targets are numbers of votes (fractions times the column ``n_votes``).
    label_errors
        Of a regression: target -> column with the standard deviation of its label.
    budget_bytes, placement
        Where the stamps are kept, see `DeviceStamps`.

    Raises
    ------
    ModelError
        No training or validation row, duplicate ids, labels that are absent, not fractions or no known class, or bad pixels; ids are named.
    StampError
        A labelled object has no row in the stamps at all.
    """
    split, chosen = usable_rows(stamps, objects, unlabelled=unlabelled)
    ids = np.asarray(objects["object_id"], dtype=str)[chosen]
    rows = stamps.index_of(ids)
    side = split[chosen]
    train, validation = np.flatnonzero(side == "train"), np.flatnonzero(side == "validation")
    for what, positions in (("training", train), ("validation", validation)):
        if len(positions) == 0:
            raise ModelError(f"no {what} object with a usable stamp: look at the split of the sample and at its ledger")
    own = {name: np.asarray(column)[chosen] for name, column in objects.items()}
    has_label = np.isin(np.asarray(own["split"], dtype=str), SIDES)
    values = np.zeros((len(ids), len(targets)))
    labelled = {name: column[has_label] for name, column in own.items()}
    values[has_label] = read_targets(labelled, ids[has_label], targets, task, label_column)
    if counts:
        values[has_label] = vote_counts(labelled, ids[has_label], values[has_label])
    mean = std = None
    if task == "regression":
        mean, std = values[train].mean(axis=0), values[train].std(axis=0)
        if not (std > 0).all():
            raise ModelError(f"target {targets[int(np.argmin(std))]!r} is the same for all {len(train)} training objects: there is nothing to learn")
        values = (values - mean) / std
        if label_errors:
            sigmas = np.zeros((len(ids), len(targets)))
            sigmas[has_label] = label_sigmas(labelled, ids[has_label], targets, label_errors)
            values = np.hstack([values, sigmas / std])
    if label_shuffle is not None:
        for positions in (train, validation):
            positions = positions[has_label[positions]]
            values[positions] = values[label_shuffle.permutation(positions)]
    inherited = reuse(normalisation, parent_normalisation, stamps.shape[0])
    if inherited is not None:
        log.info("the parent's normalisation holds here too: %s", inherited["name"])
    fitted = inherited or _fit(stamps, rows[train], ids[train], normalisation)
    return TrainingData(
        object_id=ids,
        galaxy_id=galaxies(objects)[chosen],
        targets=torch.from_numpy(values.astype(np.float32)).to(device),
        train=train,
        validation=validation,
        images=DeviceStamps(stamps, rows, fitted, device, budget_bytes, placement),
        normalisation=fitted,
        target_mean=None if mean is None else mean.tolist(),
        target_std=None if std is None else std.tolist(),
    )


def usable_rows(stamps: Stamps, objects: Mapping[str, np.ndarray], *, unlabelled: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Side of every object, and the rows that train or validate with a usable stamp.

    Parameters
    ----------
    unlabelled
        Objects without a label take the side of their group (column ``side``) instead of none.

    Returns
    -------
    side : ndarray of str, shape (N,)
    chosen : ndarray of int
        Row numbers, of objects on the sides train and validation.

    Raises
    ------
    ModelError
        A missing column, or ids that stand more than once.
    StampError
        An object that has no row in the stamps.
    """
    for column in ("object_id", "split"):
        if column not in objects:
            raise ModelError(f"the table of objects has no column {column!r}; it has {', '.join(objects)}")
    side = np.asarray(objects["split"], dtype=str)
    if unlabelled and "side" in objects:
        side = np.where(side == "unlabelled", np.asarray(objects["side"], dtype=str), side)
    chosen = np.flatnonzero(np.isin(side, ("train", "validation")))
    ids = np.asarray(objects["object_id"], dtype=str)[chosen]
    names, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise ModelError(f"object ids stand more than once among the labelled rows: {name_some(names[counts > 1])}")
    good = usable(stamps.status[stamps.index_of(ids)])
    if not good.all():
        log.warning("%d of %d objects to learn from have no usable stamp and are left out: %s", int((~good).sum()), len(good), name_some(ids[~good]))
    return side, chosen[good]


def galaxies(objects: Mapping[str, np.ndarray]) -> np.ndarray:
    """Name of the galaxy of every object: ``galaxy_id``, or the object's own id where the table has none."""
    return np.asarray(objects["galaxy_id" if "galaxy_id" in objects else "object_id"], dtype=str)


def _fit(stamps: Stamps, rows: np.ndarray, ids: np.ndarray, normalisation: Mapping[str, Any]) -> dict[str, Any]:
    """Fit on at most `FIT_STAMPS` training stamps, evenly spread in the order of their ids (not of the table or the shards)."""
    by_id = np.argsort(ids, kind="stable")
    some = by_id[np.unique(np.linspace(0, len(ids) - 1, min(len(ids), FIT_STAMPS)).round().astype(int))]
    raw = stamps.take(rows[some])
    check_pixels(raw, ids[some])
    sky = sky_columns(stamps, rows[some], normalisation)
    return fit_normalisation(normalisation, torch.from_numpy(raw), *(() if sky is None else map(torch.from_numpy, sky)))
