"""What the networks share: checks of sizes, a fast dropout, the initial weights of Keras, and the little base class that keeps features and head apart."""

import abc
import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from tuningfork.errors import ModelError

__all__ = ["Dropout", "ImageNetwork", "check_count", "conv_relu", "keep_mask", "keras_batch_norm", "keras_init", "pooled", "scaled"]


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


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, with masks that cost a CPU a tenth: see `keep_mask`. On other devices it is torch's own, which is one fused kernel there.

    It has no parameter and no buffer, so weights fit in both directions. The draws are others than torch's from the same seed.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Values of any shape; in training zero with probability `p`, the others scaled to keep the expectation."""
        if not self.training or x.device.type != "cpu" or not 0 < self.p < 1:
            return super().forward(x)
        return x * keep_mask(x, self.p)


def keep_mask(like: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """What a dropout on the CPU multiplies by: 0 with probability `p`, else one over the probability of being kept.

    Each value takes 8 random bits where `p` is a whole number of 256ths (.25, .5), else 16, where torch's dropout takes a double and a division:
    drawing masks was the largest single cost of a small network. With 16 bits `p` is met to 1 / 131,072 (.4 becomes .39999); the scale is that of
    the probability that is drawn, so the expectation is kept exactly.

    Parameters
    ----------
    like : Tensor, floating
        Gives shape, layout in memory and type.
    p : float
        Probability of a zero, 0 < p < 1.
    generator
        Default: torch's own.

    Returns
    -------
    Tensor of the shape, strides (where `like` is dense) and type of `like`
    """
    kind, levels = (torch.int8, 2**8) if (p * 2**8).is_integer() else (torch.int16, 2**16)
    dropped = min(max(round(p * levels), 1), levels - 1)
    # 64 random bits a draw, of which every value takes its own few
    bits = torch.empty(-(-like.numel() * kind.itemsize // 8), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    kept = bits.view(kind)[: like.numel()] >= dropped - levels // 2
    # a byte becomes a float in vector instructions, a bool does not
    mask = kept.view(torch.int8).to(like.dtype).mul_(levels / (levels - dropped))
    return mask.as_strided(like.shape, torch.empty_like(like, device="meta").stride())


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
