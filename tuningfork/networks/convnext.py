"""ConvNeXt (Liu et al. 2022, CVPR, arXiv:2201.03545): a convolutional network with the parts of a transformer.

Tensors bear timm's names and shapes, so that its files of weights (ImageNet's, and the encoders of Zoobot) fit: see `networks.pretrained`. Tiny to
large are the paper's; atto, femto, pico and nano are timm's own, and keep their dense layers as 1x1 convolutions.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuningfork.errors import ModelError
from tuningfork.networks.layers import ImageNetwork
from tuningfork.networks.registry import register

__all__ = ["ConvNeXt"]

NORM_EPS = 1e-6


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel of (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape; in the memory format channels_last the two permutations move nothing."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Mlp(nn.Module):
    """Two dense layers with a GELU between, over the last axis; the weights may be stored as those of 1x1 convolutions."""

    def __init__(self, channels: int, *, as_convolutions: bool) -> None:
        super().__init__()
        self.fc1 = _dense(channels, 4 * channels, as_convolutions)
        self.fc2 = _dense(4 * channels, channels, as_convolutions)

    def forward(self, x: Tensor) -> Tensor:
        """(..., channels) to the same shape."""
        x = functional.gelu(functional.linear(x, self.fc1.weight.flatten(1), self.fc1.bias))
        return functional.linear(x, self.fc2.weight.flatten(1), self.fc2.bias)


def _dense(in_channels: int, out_channels: int, as_convolution: bool) -> nn.Conv2d | nn.Linear:
    return nn.Conv2d(in_channels, out_channels, 1) if as_convolution else nn.Linear(in_channels, out_channels)


class Block(nn.Module):
    """A depthwise 7x7 convolution, layer normalisation and an inverted bottleneck beside a shortcut.

    Parameters
    ----------
    channels : int
    drop : float
        Probability that an image skips this block in training (stochastic depth, Huang et al. 2016); the others are scaled by 1 / (1 - drop).
    layer_scale : float
        First value of `gamma`, the learned factor on each channel before the sum (Touvron et al. 2021).
    as_convolutions : bool
        See `Mlp`.
    """

    def __init__(self, channels: int, *, drop: float, layer_scale: float, as_convolutions: bool) -> None:
        super().__init__()
        self.drop = drop
        self.gamma = nn.Parameter(torch.full((channels,), layer_scale))
        self.conv_dw = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.mlp = Mlp(channels, as_convolutions=as_convolutions)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) to the same shape."""
        change = self.mlp(self.norm(self.conv_dw(x).permute(0, 2, 3, 1))) * self.gamma
        if self.training and self.drop:
            change = change * change.new_empty(len(x), 1, 1, 1).bernoulli_(1 - self.drop).div_(1 - self.drop)
        return x + change.permute(0, 3, 1, 2)


class Stage(nn.Module):
    """Halves the image (all stages but the first) and applies its blocks."""

    def __init__(self, in_channels: int, channels: int, drops: list[float], *, halve: bool, layer_scale: float, as_convolutions: bool) -> None:
        super().__init__()
        self.downsample = nn.Sequential(ChannelNorm(in_channels), nn.Conv2d(in_channels, channels, 2, stride=2)) if halve else nn.Identity()
        self.blocks = nn.Sequential(*(Block(channels, drop=drop, layer_scale=layer_scale, as_convolutions=as_convolutions) for drop in drops))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) to (N, channels, h, w) or half the size."""
        return self.blocks(self.downsample(x))


class Head(nn.Module):
    """Mean of each map, layer normalisation, one dense layer."""

    def __init__(self, channels: int, n_outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=NORM_EPS)
        self.fc = nn.Linear(channels, n_outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Maps (N, channels, h, w) to logits (N, n_outputs)."""
        return self.fc(self.norm(features.mean(dim=(2, 3))))


class ConvNeXt(ImageNetwork):
    """A stem of 4x4 patches, four stages and a head; images of any size from 32 pixels on.

    Parameters
    ----------
    name : str
        The name in the registry, for messages.
    depths, channels : tuple of int
        Blocks and channels of each of the four stages.
    as_convolutions : bool
        Keep the weights of the dense layers as those of 1x1 convolutions, (out, in, 1, 1).
    stochastic_depth : float
        Probability that an image skips the last block; it rises linearly from 0 at the first (the paper: 0.1 for tiny, 0.4 for small, 0.5 for base).
    layer_scale : float
        First value of the learned factor on what a block adds.
    """

    head_names: ClassVar[tuple[str, ...]] = ("head.fc.",)
    fixed_size: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        depths: tuple[int, ...],
        channels: tuple[int, ...],
        *,
        as_convolutions: bool,
        in_channels: int,
        n_outputs: int,
        image_size: int,
        stochastic_depth: float,
        layer_scale: float,
    ) -> None:
        super().__init__(name, in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, smallest=32)
        _check_number(name, "stochastic_depth", stochastic_depth, 0 <= stochastic_depth < 1, "from 0 to below 1")
        _check_number(name, "layer_scale", layer_scale, 0 < layer_scale < math.inf, "above 0")
        self.stem = nn.Sequential(nn.Conv2d(in_channels, channels[0], 4, stride=4), ChannelNorm(channels[0]))
        last = max(1, sum(depths) - 1)
        drops = [stochastic_depth * i / last for i in range(sum(depths))]
        stages = []
        for stage, depth in enumerate(depths):
            before, own = sum(depths[:stage]), channels[stage]
            options: dict[str, Any] = {"halve": stage > 0, "layer_scale": layer_scale, "as_convolutions": as_convolutions}
            stages.append(Stage(channels[max(stage - 1, 0)], own, drops[before : before + depth], **options))
        self.stages = nn.Sequential(*stages)
        self.head = Head(channels[-1], n_outputs)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward_features(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to maps (N, F, H/32, W/32)."""
        return self.stages(self.stem(images))

    def forward_head(self, features: Tensor) -> Tensor:
        """Maps to logits (N, n_outputs)."""
        return self.head(features)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The parameters in six groups: stem, the four stages, head."""
        return [list(part.parameters()) for part in (self.stem, *self.stages, self.head)]


def _check_number(name: str, key: str, value: float, right: bool, wanted: str) -> None:
    if isinstance(value, bool) or not right:
        raise ModelError(f"network '{name}': {key} must be a number {wanted}, not {value!r}")


# name: depths, channels, and whether the dense layers are stored as convolutions (the definitions of timm 1.0)
VARIANTS = {
    "convnext_atto": ((2, 2, 6, 2), (40, 80, 160, 320), True),
    "convnext_femto": ((2, 2, 6, 2), (48, 96, 192, 384), True),
    "convnext_pico": ((2, 2, 6, 2), (64, 128, 256, 512), True),
    "convnext_nano": ((2, 2, 8, 2), (80, 160, 320, 640), True),
    "convnext_tiny": ((3, 3, 9, 3), (96, 192, 384, 768), False),
    "convnext_small": ((3, 3, 27, 3), (96, 192, 384, 768), False),
    "convnext_base": ((3, 3, 27, 3), (128, 256, 512, 1024), False),
    "convnext_large": ((3, 3, 27, 3), (192, 384, 768, 1536), False),
}


@register("convnext_atto")
def convnext_atto(*, in_channels: int, n_outputs: int, image_size: int, stochastic_depth: float = 0.0, layer_scale: float = 1e-6) -> ConvNeXt:
    """Build ConvNeXt-Atto."""
    return _build("convnext_atto", in_channels, n_outputs, image_size, stochastic_depth, layer_scale)


@register("convnext_femto")
def convnext_femto(*, in_channels: int, n_outputs: int, image_size: int, stochastic_depth: float = 0.0, layer_scale: float = 1e-6) -> ConvNeXt:
    """Build ConvNeXt-Femto."""
    return _build("convnext_femto", in_channels, n_outputs, image_size, stochastic_depth, layer_scale)


@register("convnext_pico")
def convnext_pico(*, in_channels: int, n_outputs: int, image_size: int, stochastic_depth: float = 0.0, layer_scale: float = 1e-6) -> ConvNeXt:
    """Build ConvNeXt-Pico."""
    return _build("convnext_pico", in_channels, n_outputs, image_size, stochastic_depth, layer_scale)


@register("convnext_nano")
def convnext_nano(*, in_channels: int, n_outputs: int, image_size: int, stochastic_depth: float = 0.0, layer_scale: float = 1e-6) -> ConvNeXt:
    """Build ConvNeXt-Nano."""
    return _build("convnext_nano", in_channels, n_outputs, image_size, stochastic_depth, layer_scale)


@register("convnext_tiny")
def convnext_tiny(*, in_channels: int, n_outputs: int, image_size: int, stochastic_depth: float = 0.0, layer_scale: float = 1e-6) -> ConvNeXt:
    """Build ConvNeXt-Tiny."""
    return _build("convnext_tiny", in_channels, n_outputs, image_size, stochastic_depth, layer_scale)


@register("convnext_small")
def convnext_small(*, in_channels: int, n_outputs: int, image_size: int, stochastic_depth: float = 0.0, layer_scale: float = 1e-6) -> ConvNeXt:
    """Build ConvNeXt-Small."""
    return _build("convnext_small", in_channels, n_outputs, image_size, stochastic_depth, layer_scale)


@register("convnext_base")
def convnext_base(*, in_channels: int, n_outputs: int, image_size: int, stochastic_depth: float = 0.0, layer_scale: float = 1e-6) -> ConvNeXt:
    """Build ConvNeXt-Base."""
    return _build("convnext_base", in_channels, n_outputs, image_size, stochastic_depth, layer_scale)


@register("convnext_large")
def convnext_large(*, in_channels: int, n_outputs: int, image_size: int, stochastic_depth: float = 0.0, layer_scale: float = 1e-6) -> ConvNeXt:
    """Build ConvNeXt-Large."""
    return _build("convnext_large", in_channels, n_outputs, image_size, stochastic_depth, layer_scale)


def _build(name: str, in_channels: int, n_outputs: int, image_size: int, stochastic_depth: float, layer_scale: float) -> ConvNeXt:
    depths, channels, as_convolutions = VARIANTS[name]
    sizes = {"in_channels": in_channels, "n_outputs": n_outputs, "image_size": image_size}
    return ConvNeXt(name, depths, channels, as_convolutions=as_convolutions, **sizes, stochastic_depth=stochastic_depth, layer_scale=layer_scale)
