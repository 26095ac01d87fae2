"""The second sample of a domain adaptation: its stamps without their labels, and which of them stands beside each batch of the first."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tuningfork.errors import ModelError
from tuningfork.training.alignment import METHODS
from tuningfork.training.arrays import Stamps, name_some
from tuningfork.training.data import TrainingData, galaxies, usable_rows
from tuningfork.training.discrepancy import FEWEST
from tuningfork.training.pixels import DeviceStamps

__all__ = ["SecondSample", "make_second_sample"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SecondSample:
    """A sample whose features are made to look like the first one's.

    Attributes
    ----------
    name : str
    method : str
        One of `tuningfork.training.alignment.METHODS`.
    weight : float
        Of the alignment beside the loss.
    object_id : ndarray of str, shape (M,)
    train, validation : ndarray of int
        Positions in `images`.
    images : DeviceStamps
        Normalised as the first sample's.
    partner : ndarray of int, shape (N,), or None
        Position of the same galaxy on the training side for each row of the first sample, -1 where there is none; None: not paired.
    """

    name: str
    method: str
    weight: float
    object_id: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    images: DeviceStamps
    partner: np.ndarray | None

    def beside(self, order: Sequence[np.ndarray], generator: torch.Generator) -> list[np.ndarray]:
        """Positions to take beside each batch of the first sample.

        Paired: the partners of its rows (two at random where fewer than two rows have one). Else as many as the batch has, from permutations
        of the training side one after another.
        """
        if self.partner is not None:
            paired = [self.partner[rows][self.partner[rows] >= 0] for rows in order]
            return [rows if len(rows) >= FEWEST else self.train[torch.randint(len(self.train), (FEWEST,), generator=generator).numpy()] for rows in paired]
        ends = np.cumsum([len(rows) for rows in order])
        rounds = -(-int(ends[-1]) // len(self.train))
        stream = np.concatenate([self.train[torch.randperm(len(self.train), generator=generator).numpy()] for _ in range(rounds)])
        return np.split(stream[: ends[-1]], ends[:-1])


def make_second_sample(
    data: TrainingData,
    objects: Mapping[str, np.ndarray],
    stamps: Stamps,
    second: Mapping[str, np.ndarray],
    adapt_to: Mapping[str, Any],
    *,
    device: torch.device,
    budget_bytes: int,
    placement: str = "auto",
) -> SecondSample:
    """Bring the second sample beside the first.

    Parameters
    ----------
    data, objects
        The first sample as it trains, and its table.
    stamps, second
        Stamps and table of the second sample; labels are not looked at, so labelled and unlabelled rows count alike.
    adapt_to
        ``method`` (default mmd), ``weight`` (default: the method's), ``paired``, and the ``sample``'s name.
    budget_bytes, placement
        Where the stamps are kept, see `DeviceStamps`.

    Raises
    ------
    ModelError
        Stamps of another shape or type, a galaxy that is on different sides of the two splits (its picture in the second survey would show
        the training what the first keeps for its test), too few rows, or no pair where pairs are asked for.
    """
    name = str(adapt_to.get("sample", "second sample"))
    method = str(adapt_to.get("method", "mmd"))
    if method not in METHODS:
        raise ModelError(f"adapt_to.method: {method!r} is not known; the methods are {', '.join(METHODS)}")
    if tuple(stamps.shape) != tuple(data.images.stamps.shape) or np.dtype(stamps.dtype) != np.dtype(data.images.stamps.dtype):
        have, wanted = (f"{'x'.join(map(str, s.shape))} {np.dtype(s.dtype)}" for s in (stamps, data.images.stamps))
        raise ModelError(f"adapt_to: stamps of {name} are {have}, those that are trained on {wanted}: give both samples the same bands, pixels and format")
    side, chosen = usable_rows(stamps, second, unlabelled=True)
    _one_side(objects, second, side, chosen, name)
    ids, here = np.asarray(second["object_id"], dtype=str)[chosen], side[chosen]
    train, validation = np.flatnonzero(here == "train"), np.flatnonzero(here == "validation")
    for what, positions in (("training", train), ("validation", validation)):
        if len(positions) < FEWEST:
            raise ModelError(f"adapt_to: {name} has {len(positions)} usable stamp(s) on the {what} side; at least {FEWEST} are needed: look at its split")
    partner = _partners(data, galaxies(second)[chosen], train, name) if adapt_to.get("paired", False) else None
    images = DeviceStamps(stamps, stamps.index_of(ids), data.normalisation, device, budget_bytes, placement)
    log.info("adapting to %s: %d training and %d validation stamps", name, len(train), len(validation))
    return SecondSample(name, method, float(adapt_to.get("weight", METHODS[method])), ids, train, validation, images, partner)


def _partners(data: TrainingData, galaxy: np.ndarray, train: np.ndarray, name: str) -> np.ndarray:
    place = {str(key): int(position) for key, position in zip(galaxy[train][::-1], train[::-1], strict=True)}
    partner = np.array([place.get(str(key), -1) for key in data.galaxy_id], dtype=np.int64)
    found = int((partner[data.train] >= 0).sum())
    if found < FEWEST:
        raise ModelError(f"adapt_to.paired: only {found} training galaxies are in both samples (by galaxy_id); use paired: false, or look at {name}'s ids")
    log.info("%d of %d training stamps have a partner in %s", found, len(data.train), name)
    return partner


def _one_side(objects: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], side: np.ndarray, chosen: np.ndarray, name: str) -> None:
    """Refuse galaxies that the second sample trains or validates on and the first keeps on another side."""
    first = np.asarray(objects["split"], dtype=str)
    first = np.where(first == "unlabelled", np.asarray(objects["side"], dtype=str), first) if "side" in objects else first
    known = np.isin(first, ("train", "validation", "test"))
    mine = dict(zip(galaxies(objects)[known].tolist(), first[known].tolist(), strict=True))
    theirs = galaxies(second)[chosen]
    wrong = np.array([mine.get(key, here) != here for key, here in zip(theirs.tolist(), side[chosen].tolist(), strict=True)], dtype=bool)
    if wrong.any():
        raise ModelError(
            f"adapt_to: {int(wrong.sum())} galaxies are on another side of the split in {name}: {name_some(np.unique(theirs[wrong]))}; "
            "give both samples the same split (by, seed, fractions)"
        )
