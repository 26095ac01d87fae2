"""Predictions of one model for stamps: averaged over the views of a stamp, in constant memory, each stamp for itself."""

import hashlib
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from tuningfork.errors import ModelError
from tuningfork.inference.autoencoder import LatentRows
from tuningfork.inference.load import Model
from tuningfork.inference.partial import PartialRows, network_digest
from tuningfork.predicted import SIGMA
from tuningfork.stamps.store import usable
from tuningfork.training.arrays import Stamps, name_some
from tuningfork.training.augmentation import number_of_views, views_of
from tuningfork.training.device import autocast, choose_precision, session
from tuningfork.training.heads import POINT
from tuningfork.training.normalisation import apply_normalisation
from tuningfork.training.pixels import faulty_pixels, sky_columns

__all__ = ["Predictions", "predict"]

log = logging.getLogger(__name__)
BATCH = {"cpu": 64, "cuda": 1024}
"""Images in one call of the network: on a GPU enough to keep it busy while the next are read."""


class Predictions(TypedDict):
    """Row i of every array is about ``object_id[i]``; NaN where there was no usable stamp.

    `status` is the stamp's, or ``failed`` where the store called it usable and its pixels are not. `mean` and `std` (N, K) are over the
    views, in the units of the targets; `std` is 0 for a single view. `columns` are further numbers of every row: of an autoencoder its latent
    means ``z_00``, ``z_01``, ..., and ``reconstruction_rmse`` and ``ssim`` of the normalised image and what the network gives back of it; of a
    network that learned a distribution (`tuningfork.predicted`) its quantiles, averaged over the views, and its standard deviation, of which the
    variance is averaged: `std` squared is what the views add to it.
    """

    object_id: np.ndarray
    status: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    columns: dict[str, np.ndarray]


def predict(
    model: Model,
    stamps: Stamps,
    ids: Sequence[str] | np.ndarray | None = None,
    *,
    tta: bool = True,
    batch_size: int | None = None,
    threads: int | None = None,
    precision: str = "fp32",
    progress: bool | None = None,
    galaxy_id: Sequence[str] | np.ndarray | None = None,
    shifts_px: int = 0,
    resume_dir: str | Path | None = None,
    resume_key: Any = None,
) -> Predictions:
    """Predict for stamps; a prediction depends on its own stamp only.

    An autoencoder's classes are those of a forest on its latents, grown from the labelled rows that the model was trained on; galaxies among
    these are judged by the trees that have not seen them (out of bag).

    Parameters
    ----------
    model
        From `load_model`.
    stamps
        A `StampSet` or an `ArrayStamps`.
    ids : sequence of str, length N, optional
        Objects wanted, in this order; default: all, in the order of `stamps`.
    tta : bool
        Average over the eight views of the symmetry group of the square (a galaxy has no up), or over the four turns where the recipe had
        ``flips: false``: there a mirrored galaxy is another one (clockwise and anticlockwise spirals). False: the stamp as it is.
    batch_size
        Images in one call of the network (default: 64, on a GPU 1,024). The memory for pixels goes with it, not with N.
    precision : {'fp32', 'bf16', 'auto'}
        Published numbers should come from fp32, whatever the network was trained in.
    progress
        Show a bar on stderr; default: on a terminal.
    galaxy_id : sequence of str, length N, optional
        Of an autoencoder: the galaxy of every object, as in the table that it was trained with; default: the ids themselves.
    shifts_px : int
        With `tta`: see every view also shifted by so many pixels up, down, left and right, at five times the cost. Not for autoencoders, whose
        forest looks at the views that it was grown on.
    resume_dir
        Keep here, every twenty seconds or so, what is done; a call that finds such state of the same network, stamps and options goes on from it,
        to the same numbers. What is there when the call ends is for the caller to remove (`tuningfork.inference.partial.forget`), once the
        numbers are safe. Default: nothing is kept.
    resume_key
        JSON-able: what tells these pixels from others under the same ids (the digests of the stamps).

    Returns
    -------
    Predictions

    Raises
    ------
    ModelError
        The stamps have another shape than the model was trained on, or lack the sky that its normalisation needs.
    StampError
        An id without a row in `stamps`.
    """
    _check_shape(model, stamps)
    rows = np.arange(len(stamps)) if ids is None else stamps.index_of(ids)
    status = np.asarray(stamps.status[rows]).astype("U32")
    shape = (len(rows), len(model.targets))
    mean, std = np.full(shape, np.nan), np.full(shape, np.nan)
    sky = sky_columns(stamps, rows, model.normalisation, strict=False)
    good = np.flatnonzero(usable(status))
    if sky is not None:
        without = good[~(np.isfinite(sky[0][good]) & np.isfinite(sky[1][good]) & (sky[1][good] > 0))]
        _fail(status, without, stamps.object_id[rows[without]], "no positive sky_sigma")
        good = np.setdiff1d(good, without, assume_unique=True)
    good = good[np.argsort(rows[good], kind="stable")]  # in the order of the files
    views = _number_of_views(model) if tta else 1
    latents = LatentRows(model, len(rows), views) if model.unsupervised else None
    shifts = shifts_px if tta and latents is None else 0
    further = {suffix: np.full(shape, np.nan) for suffix in model.head.suffixes}
    step = max(1, (batch_size or BATCH.get(model.device.type, 64)) // (views * (5 if shifts else 1)))
    exact = choose_precision(precision, model.device)
    failed = np.zeros(len(rows), dtype=bool)
    # all that the loop below fills, row by row
    outcome = {"mean": mean, "std": std, **further} if latents is None else latents.arrays()
    filled = {"failed": failed, **outcome}
    about = None if resume_dir is None else [_identity(model, stamps, rows[good], sky, good), views, shifts, step, exact, resume_key]
    kept = PartialRows(resume_dir, about, good, filled)
    chunks = [good[start : start + step] for start in range(kept.load(), len(good), step)]
    status[failed] = "failed"
    show = sys.stderr.isatty() if progress is None else progress
    bar = tqdm(total=len(good), initial=kept.done, unit="stamp", desc=f"predict {model.name}", disable=not show, file=sys.stderr)
    with session(model.device, threads), torch.inference_mode(), ThreadPoolExecutor(1) as pool, bar:
        # one chunk is read from disk while the network is at the one before
        waiting = pool.submit(stamps.take, rows[chunks[0]]) if chunks else None
        for number, chunk in enumerate(chunks):
            raw = waiting.result()  # type: ignore[union-attr]
            waiting = pool.submit(stamps.take, rows[chunks[number + 1]]) if number + 1 < len(chunks) else None
            fault = np.logical_or(*faulty_pixels(raw))
            failed[chunk[fault]] = True
            _fail(status, chunk[fault], stamps.object_id[rows[chunk[fault]]], "NaN, infinite or constant pixels")
            whole = chunk[~fault]
            raw = raw if len(whole) == len(chunk) else raw[~fault]
            if len(whole):
                own_sky = () if sky is None else tuple(torch.from_numpy(column[whole]) for column in sky)
                images = apply_normalisation(model.normalisation, torch.from_numpy(raw).to(model.device), *own_sky)
                if latents is not None:
                    latents.add(whole, images, exact)
                else:
                    outputs = _outputs(model, images, views, shifts, exact)
                    mean[whole], std[whole] = outputs[POINT].mean(axis=0), outputs[POINT].std(axis=0)
                    for suffix, values in further.items():
                        values[whole] = _over_views(suffix, outputs[suffix])
            kept.add(len(chunk))
            bar.update(len(chunk))
        kept.finish()
    if model.target_mean is not None and model.target_std is not None:
        mean, std = mean * model.target_std + model.target_mean, std * model.target_std
        further = {suffix: values * model.target_std + (0 if suffix == SIGMA else model.target_mean) for suffix, values in further.items()}
    columns = {f"{target}_{suffix}": values[:, k] for k, target in enumerate(model.targets) for suffix, values in further.items()}
    found = np.asarray(stamps.object_id[rows])
    if latents is not None:
        mean, std = latents.classes(found if galaxy_id is None else np.asarray(galaxy_id, dtype=str), found, threads)
        columns = latents.columns()
    return Predictions(object_id=found, status=status, mean=mean, std=std, columns=columns)


def _outputs(model: Model, images: Tensor, views: int, shifts_px: int, precision: str) -> dict[str, np.ndarray]:
    """The columns of the head, each (V, n, K): predictions for every view of every image, in the network's units."""
    seen = views_of(images, views, shifts_px)
    flat = seen.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    with autocast(model.device, precision):
        outputs = model.network(flat)
    found = model.head.columns(outputs)
    return {suffix: values.unflatten(0, (len(seen), len(images))).cpu().double().numpy() for suffix, values in found.items()}


def _over_views(suffix: str, values: np.ndarray) -> np.ndarray:
    """(V, n, K) to (n, K): the mean; of standard deviations the root of the mean variance."""
    return np.sqrt((values**2).mean(axis=0)) if suffix == SIGMA else values.mean(axis=0)


def _identity(model: Model, stamps: Stamps, rows: np.ndarray, sky: tuple[np.ndarray, np.ndarray] | None, good: np.ndarray) -> dict[str, Any]:
    """What decides the numbers beside the pixels themselves and the options: the network, its normalisation, whose stamps, and their skies."""
    ids = hashlib.sha256("\n".join(stamps.object_id[rows].tolist()).encode("utf-8", "surrogatepass"))
    for column in sky or ():
        ids.update(np.ascontiguousarray(column[good], dtype=float).data)
    return {
        "network": network_digest(model.network),
        "model": [model.info.get(key) for key in ("network", "normalisation", "task", "targets", "head")],
        "stamps": [list(stamps.shape), str(np.dtype(stamps.dtype)), ids.hexdigest()],
        "machine": [torch.__version__, model.device.type],
    }


def _number_of_views(model: Model) -> int:
    """Eight, or four for a network that was trained to tell an image from its mirror image; one where an autoencoder's forest wants no views."""
    recipe = model.info.get("training", {}).get("recipe", {})
    if model.unsupervised and not recipe["forest"]["views"]:
        return 1
    return number_of_views(recipe.get("augmentation", {}).get("flips", True))


def _check_shape(model: Model, stamps: Stamps) -> None:
    wanted = (model.in_channels, model.image_size, model.image_size)
    if tuple(stamps.shape) != wanted:
        have = "x".join(map(str, stamps.shape))
        raise ModelError(f"model {model.name!r} takes stamps of {'x'.join(map(str, wanted))} (channels, height, width); these are {have}")

    trained_on = model.info.get("pixel_type", str(stamps.dtype))
    if trained_on != str(stamps.dtype):
        raise ModelError(f"model {model.name!r} was trained on {trained_on} pixels, these are {stamps.dtype}: pictures and FITS images are not on one scale")


def _fail(status: np.ndarray, where: np.ndarray, ids: np.ndarray, why: str) -> None:
    if len(where):
        status[where] = "failed"
        log.warning("%d usable stamp(s) with %s get no prediction: %s", len(where), why, name_some(ids))
