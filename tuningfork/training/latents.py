"""Latent means of labelled training images, kept with an autoencoder's weights: the data that its forest of classes is fitted to."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tuningfork.errors import ModelError
from tuningfork.training.augmentation import d4_views
from tuningfork.training.data import TrainingData
from tuningfork.training.device import autocast

__all__ = ["PREFIX", "LabelledLatents", "encode_views", "label_latents", "split_tensors"]

PREFIX = "forest."
"""Names of the tensors that are no part of the network begin so."""


@dataclass(frozen=True)
class LabelledLatents:
    """What the forest of an autoencoder is fitted to.

    Attributes
    ----------
    object_id, galaxy_id : ndarray of str, shape (n,)
    labels : ndarray of int, shape (n,)
        Index of the class among the model's targets.
    latents : ndarray of float32, shape (n, V, d)
        Latent means of the image as it is, and of its turned and mirrored views.
    """

    object_id: np.ndarray
    galaxy_id: np.ndarray
    labels: np.ndarray
    latents: np.ndarray

    def tensors(self) -> dict[str, Tensor]:
        """As tensors for a safetensors file; ids are UTF-8 bytes, padded with zeros."""
        text = {name: torch.from_numpy(_bytes(getattr(self, name))) for name in ("object_id", "galaxy_id")}
        numbers = {"labels": torch.from_numpy(self.labels.astype(np.int64)), "latents": torch.from_numpy(self.latents)}
        return {PREFIX + name: tensor.contiguous() for name, tensor in {**text, **numbers}.items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> "LabelledLatents | None":
        """From tensors of `tensors`; None where there are none."""
        own = {name.removeprefix(PREFIX): tensor.numpy() for name, tensor in tensors.items() if name.startswith(PREFIX)}
        if not own:
            return None
        if missing := {"object_id", "galaxy_id", "labels", "latents"} - set(own):
            raise ModelError(f"the weights lack {', '.join(sorted(missing))} of the latents that a forest is fitted to; train the model again")
        return cls(_text(own["object_id"]), _text(own["galaxy_id"]), own["labels"], own["latents"])


def split_tensors(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors of the network, and those of the forest."""
    forest = {name: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    return {name: tensor for name, tensor in tensors.items() if name not in forest}, forest


def encode_views(module: nn.Module, images: Tensor, views: int) -> Tensor:
    """Latent means of the first `views` views of the square's symmetry group: images (n, C, H, H) to (views, n, d)."""
    seen = d4_views(images)[:views] if views > 1 else images[None]
    flat = seen.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return module.encode(flat)[0].float().unflatten(0, (views, len(images)))  # type: ignore[operator]


@torch.inference_mode()
def label_latents(module: nn.Module, data: TrainingData, views: int, precision: str = "fp32", batch_size: int = 64) -> LabelledLatents:
    """Encode the labelled training rows with the network as it is (evaluation mode is set)."""
    module.eval()
    rows = data.train[data.labelled[data.train]]
    order = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    found = []
    for images in data.images.batches(order):
        with autocast(data.images.device, precision):
            found.append(encode_views(module, images, views).transpose(0, 1).cpu())
    labels = data.targets[torch.from_numpy(rows).to(data.targets.device)].argmax(dim=1).cpu().numpy()
    return LabelledLatents(data.object_id[rows], data.galaxy_id[rows], labels, torch.cat(found).contiguous().numpy())


def _bytes(text: np.ndarray) -> np.ndarray:
    encoded = np.char.encode(np.asarray(text, dtype=str), "utf-8")
    width = max(1, encoded.dtype.itemsize)
    return np.frombuffer(encoded.astype(f"S{width}").tobytes(), dtype=np.uint8).reshape(len(encoded), width).copy()


def _text(raw: np.ndarray) -> np.ndarray:
    return np.char.decode(np.ascontiguousarray(raw).view(f"S{raw.shape[1]}")[:, 0], "utf-8")
