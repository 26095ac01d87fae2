"""What an autoencoder says of a stamp: its latents, how well it gives the image back, and its classes by a forest on the latents."""

import logging

import numpy as np
import torch
from torch import Tensor

from tuningfork.errors import ModelError
from tuningfork.inference.load import Model
from tuningfork.inference.ssim import TAPS, ssim
from tuningfork.training.arrays import name_some
from tuningfork.training.device import autocast
from tuningfork.training.latents import encode_views

__all__ = ["LatentRows", "latent_columns"]

log = logging.getLogger(__name__)
FOREST_ROWS = 4096
"""Rows that the forest is asked about at a time."""


def latent_columns(count: int) -> list[str]:
    """Names of the latents: z_00, z_01, ..."""
    width = max(2, len(str(count - 1)))
    return [f"z_{number:0{width}d}" for number in range(count)]


class LatentRows:
    """Filled batch by batch; `columns` and `classes` then have a row for every object, NaN where nothing was added.

    Parameters
    ----------
    model
        A model that was trained with loss ``elbo``.
    count
        Number of objects.
    views
        Turned and mirrored views that latents are taken of, where the recipe's forest looks at them.
    """

    def __init__(self, model: Model, count: int, views: int) -> None:
        if model.latents is None:
            raise ModelError(f"model {model.name!r}: its weights hold no latents of labelled objects, so it has no classes; train it again")
        self.model, self.views = model, views
        self.latents = np.full((count, views, model.latents.latents.shape[2]), np.nan, dtype=np.float32)
        self.rmse, self.similarity = np.full(count, np.nan), np.full(count, np.nan)

    def add(self, rows: np.ndarray, images: Tensor, precision: str) -> None:
        """Encode and decode normalised images (n, C, H, H) of these rows."""
        network = self.model.network
        with autocast(self.model.device, precision):
            latents = encode_views(network, images, self.views)
            reconstruction = network(images.contiguous(memory_format=torch.channels_last)).reconstruction.float()
        self.latents[rows] = latents.transpose(0, 1).cpu().numpy()
        self.rmse[rows] = (reconstruction - images).double().square().flatten(1).mean(dim=1).sqrt().cpu().numpy()
        if min(images.shape[2:]) >= TAPS:
            self.similarity[rows] = ssim(images, reconstruction).cpu().numpy()

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that `add` fills, row by row."""
        return {"latents": self.latents, "rmse": self.rmse, "similarity": self.similarity}

    def columns(self) -> dict[str, np.ndarray]:
        """Latent means of the stamps as they are, and how well they are given back, in units of the normalised image."""
        named = dict(zip(latent_columns(self.latents.shape[2]), self.latents[:, 0].T.astype(float), strict=True))
        return {**named, "reconstruction_rmse": self.rmse, "ssim": self.similarity}

    def classes(self, galaxy_id: np.ndarray, object_id: np.ndarray, threads: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over the views of the forest's probabilities, (count, K) each."""
        from tuningfork.inference.forest import LatentForest  # scikit-learn, which no other model's prediction needs

        training = self.model.info["training"]
        known = self.model.latents
        assert known is not None
        shape = (len(self.rmse), len(self.model.targets))
        mean, std = np.full(shape, np.nan), np.full(shape, np.nan)
        good = np.flatnonzero(np.isfinite(self.latents).all(axis=(1, 2)))
        forest = LatentForest(known, shape[1], trees=training["recipe"]["forest"]["trees"], seed=training["seed"], threads=threads or 1)
        for start in range(0, len(good), FOREST_ROWS):
            rows = good[start : start + FOREST_ROWS]
            found = forest.probabilities(self.latents[rows], galaxy_id[rows])
            mean[rows], std[rows] = found.mean(axis=0), found.std(axis=0)
        if len(lost := good[np.isnan(mean[good]).any(axis=1)]):
            log.warning("%d training object(s) were drawn by every tree and get no probability: take more trees; %s", len(lost), name_some(object_id[lost]))
        return mean, std
