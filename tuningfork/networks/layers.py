"""What the networks share: checks of sizes, the initial weights of Keras, and the little base class that keeps features and head apart."""

import abc
import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from tuningfork.errors import ModelError

__all__ = ["ImageNetwork", "check_count", "conv_relu", "keras_batch_norm", "keras_init", "pooled", "scaled"]


class ImageNetwork(nn.Module, abc.ABC):
    """A network from square images to logits; subclasses give `forward_features` and `forward_head`.

    `head_names` are the prefixes of the parameters that belong to the outputs: in a transfer to other targets only these may differ.
    """

    head_names: ClassVar[tuple[str, ...]] = ()
    fixed_size: ClassVar[bool] = True

    def __init__(self, name: str, *, in_channels: int, n_outputs: int, image_size: int, smallest: int) -> None:
        super().__init__()
        check_count(name, in_channels=in_channels, n_outputs=n_outputs, image_size=image_size)
        if image_size < smallest:
            raise ModelError(f"network '{name}' needs images of at least {smallest} x {smallest} pixels; image_size is {image_size}")
        self.name, self.in_channels, self.n_outputs, self.image_size = name, in_channels, n_outputs, image_size

    @abc.abstractmethod
    def forward_features(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to the last feature maps (N, F, h, w)."""

    @abc.abstractmethod
    def forward_head(self, features: Tensor) -> Tensor:
        """Feature maps (N, F, h, w) to logits (N, n_outputs)."""

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, n_outputs)."""
        self.check_images(images)
        return self.forward_head(self.forward_features(images))

    def check_images(self, images: Tensor) -> None:
        """Raise a ModelError unless `images` has the shape that this network was built for."""
        wanted = (self.in_channels, self.image_size, self.image_size)
        shape = tuple(images.shape)
        if len(shape) != 4 or shape[1] != wanted[0] or (self.fixed_size and shape[1:] != wanted):
            size = "x".join(map(str, wanted)) if self.fixed_size else f"{wanted[0]} x H x W"
            raise ModelError(f"network '{self.name}' was built for images N x {size}; it was given {' x '.join(map(str, shape))}")


def check_count(name: str, **counts: int) -> None:
    """Raise a ModelError unless every one of `counts` is a whole number of at least one."""
    for key, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ModelError(f"network '{name}': {key} must be a whole number of at least 1, not {value!r}")


def scaled(channels: int, width: float) -> int:
    """A channel count times `width`, rounded, at least 1."""
    return max(1, round(channels * width))


def check_width(name: str, width: float) -> None:
    """Raise a ModelError unless `width` is a positive, finite number."""
    if isinstance(width, bool) or not isinstance(width, int | float) or not (0 < width < math.inf):
        raise ModelError(f"network '{name}': width must be a positive number (1 as published), not {width!r}")


def pooled(size: int, kernel: int, *, pool: int = 2) -> int:
    """Side after a convolution without padding and a pooling; zero or less where nothing is left."""
    return (size - kernel + 1) // pool


def conv_relu(in_channels: int, out_channels: int, kernel: int, *, same: bool, norm: bool) -> nn.Sequential:
    """Convolution, then ReLU, then (where `norm`) batch normalisation: the order of the Keras networks."""
    layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2 if same else 0), nn.ReLU()]
    if norm:
        layers.append(keras_batch_norm(out_channels))
    return nn.Sequential(*layers)


def keras_batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation over channels with the constants of Keras: its momentum .99 is torch's .01."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


@torch.no_grad()
def keras_init(module: nn.Module) -> None:
    """Give every convolution and dense layer of `module` the initial weights of Keras: Glorot uniform, and zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
