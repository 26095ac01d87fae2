"""A trained model from its folder: network, normalisation and targets, with every mismatch named."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tuningfork.errors import ModelError
from tuningfork.files import read_json, sha256_of
from tuningfork.networks import registry
from tuningfork.networks.weights import load_weights, read_weights
from tuningfork.training.device import choose_device
from tuningfork.training.heads import Head, head_of_record
from tuningfork.training.latents import LabelledLatents, split_tensors
from tuningfork.training.record import FORMAT

__all__ = ["Model", "load_model"]

_NEEDED = ("format", "network", "in_channels", "image_size", "targets", "task", "normalisation")


@dataclass(frozen=True)
class Model:
    """A network in evaluation mode and what its inputs and outputs mean.

    Attributes
    ----------
    name : str
    network : nn.Module
        Maps normalised images (n, in_channels, image_size, image_size) to raw outputs (n, M), whose meaning is `head`.
    normalisation : dict
        Fitted, for `tuningfork.training.normalisation.apply_normalisation`.
    targets : tuple of str, length K
    task : {'fractions', 'classes', 'regression'}
    target_mean, target_std : ndarray (K,) or None
        Undo the standardisation of a regression.
    in_channels, image_size : int
    device : torch.device
    info : dict
        The whole ``model.json``.
    latents : LabelledLatents or None
        Of an autoencoder: the latents of its labelled training rows, which its classes come from.
    """

    name: str
    network: nn.Module
    normalisation: Mapping[str, Any]
    targets: tuple[str, ...]
    task: str
    target_mean: np.ndarray | None
    target_std: np.ndarray | None
    in_channels: int
    image_size: int
    device: torch.device
    info: Mapping[str, Any]
    latents: LabelledLatents | None = None

    @property
    def unsupervised(self) -> bool:
        """The network is an autoencoder."""
        return self.info.get("training", {}).get("recipe", {}).get("loss") == "elbo"

    @property
    def head(self) -> Head:
        """What the raw outputs mean."""
        return head_of_record(self.info.get("head"), self.task, len(self.targets))


def load_model(folder: str | Path, device: str | torch.device | None = None) -> Model:
    """Load the model in `folder`.

    Raises
    ------
    ModelError
        No model there, a ``model.json`` of another format or without a needed key, weights of another network, or weights that are not those
        that the model was written with.
    """
    folder = Path(folder)
    described, weights = folder / "model.json", folder / "weights.safetensors"
    if not described.is_file():
        raise ModelError(f"{folder}: no model.json there: not a trained model, or its training was interrupted")
    try:
        info = read_json(described)
    except ValueError as error:
        raise ModelError(f"{described}: not readable as JSON ({error}); train the model again") from error
    if missing := [key for key in _NEEDED if key not in info]:
        raise ModelError(f"{described}: no {', '.join(missing)} in it: it does not describe a model")
    if info["format"] != FORMAT:
        raise ModelError(f"{described}: format {info['format']!r}; this version reads format {FORMAT}")
    try:
        head = head_of_record(info.get("head"), info["task"], len(info["targets"]))
    except ModelError as error:
        raise ModelError(f"{described}: {error}") from error
    where = choose_device(device)
    network = registry.build(
        info["network"]["name"],
        in_channels=info["in_channels"],
        n_outputs=info.get("n_outputs", head.n_outputs),
        image_size=info["image_size"],
        seed=0,
        **info["network"].get("options", {}),
    )
    tensors, kept = split_tensors(read_weights(weights))
    load_weights(network, tensors if kept else weights)
    if info.get("weights_sha256") not in (None, sha256_of(weights)):
        raise ModelError(f"{weights}: not the weights that {described.name} was written with (damaged or exchanged); train the model again, or put them back")
    network = network.eval().requires_grad_(False).to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean, std = (None if info.get(key) is None else np.asarray(info[key], dtype=float) for key in ("target_mean", "target_std"))
    if info["task"] == "regression" and (mean is None or std is None):
        raise ModelError(f"{described}: a regression without target_mean and target_std")
    return Model(
        name=info.get("name", folder.name),
        network=network,
        normalisation=info["normalisation"],
        targets=tuple(info["targets"]),
        task=info["task"],
        target_mean=mean,
        target_std=std,
        in_channels=info["in_channels"],
        image_size=info["image_size"],
        device=where,
        info=info,
        latents=LabelledLatents.of_tensors(kept),
    )
