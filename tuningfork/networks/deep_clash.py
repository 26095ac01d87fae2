"""Deep-CLASH: six inception blocks from one 80x80 stamp in one filter to the fractions of five visual classes.

Perez-Carrasco et al. 2019, PASP 131, 108002 (arXiv:1810.07857).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from tuningfork.networks.layers import Dropout, ImageNetwork, check_width, conv_relu, keras_init, pooled, scaled
from tuningfork.networks.registry import register

__all__ = ["DeepClash", "Inception"]

NAME = "deep-clash"

SMALLEST = 48
"""Side (pixels) below which one of the five poolings has nothing left."""

BLOCKS = (
    # 1x1 | reduce, 3x3 | reduce, 5x5 | after pooling
    (64, 96, 128, 16, 16, 32),
    (128, 128, 192, 32, 96, 64),
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 144, 288, 32, 64, 64),
    (112, 144, 288, 32, 64, 64),
)
NORMALISED = 3
"""Batch normalisation stands after every convolution of the first three blocks, and nowhere in the last three."""

DUPLICATED = 2
"""The block whose list of towers, as published, has the 3x3 tower twice and the 5x5 tower not at all."""


class Inception(nn.Module):
    """Four towers side by side: 1x1, 3x3 and 5x5 (each behind a 1x1 reduction), and a 3x3 maximum with a 1x1; all keep the size.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    channels : tuple of int
        1x1; reduction and 3x3; reduction and 5x5; 1x1 behind the maximum.
    norm : bool
        Batch normalisation after every convolution.
    duplicated : bool
        As published in block 3: the output of the 3x3 tower twice, and no 5x5 tower.
    """

    def __init__(self, in_channels: int, channels: tuple[int, ...], *, norm: bool, duplicated: bool = False) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pool = channels

        def tower(reduce: int, out: int, kernel: int) -> nn.Sequential:
            return nn.Sequential(conv_relu(in_channels, reduce, 1, same=True, norm=norm), conv_relu(reduce, out, kernel, same=True, norm=norm))

        self.tower3 = tower(reduce3, three, 3)
        self.tower5 = None if duplicated else tower(reduce5, five, 5)
        self.pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv_relu(in_channels, pool, 1, same=True, norm=norm))
        self.one = conv_relu(in_channels, one, 1, same=True, norm=norm)
        self.out_channels = three + (three if duplicated else five) + pool + one

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) to (N, out_channels, h, w)."""
        three = self.tower3(x)
        five = three if self.tower5 is None else self.tower5(x)
        return torch.cat([three, five, self.pool(x), self.one(x)], dim=1)


class DeepClash(ImageNetwork):
    """The network of Deep-CLASH, for any number of channels, outputs and pixels.

    Batch normalisation is over channels; the published code, in Theano's order of axes, normalised over the image's columns.

    Parameters
    ----------
    in_channels, n_outputs, image_size : int
        As published: 1, 5 and 80. The image needs at least 48 pixels a side.
    as_published : bool
        Keep the slip of the published third block (its 3x3 tower twice, no 5x5 tower): 5,154,765 trainable parameters instead of 5,124,237.
    width : float
        Multiplies every channel count and the two dense layers.
    batch_norm_momentum : float
        Weight of the newest batch in the running statistics: 0.01 is Keras's .99, as published. A training of a few hundred steps needs more,
        or its validation is done with statistics of weights long gone.

    Raises
    ------
    ModelError
        Image too small, or a count or width that makes no sense.
    """

    head_names: ClassVar[tuple[str, ...]] = ("output.",)

    def __init__(
        self,
        *,
        in_channels: int = 1,
        n_outputs: int = 5,
        image_size: int = 80,
        as_published: bool = False,
        width: float = 1.0,
        batch_norm_momentum: float = 0.01,
    ) -> None:
        super().__init__(NAME, in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, smallest=SMALLEST)
        check_width(NAME, width)
        first, second, summary, dense = (scaled(n, width) for n in (64, 128, 256, 1024))
        self.stem = nn.Sequential(
            conv_relu(in_channels, first, 7, same=False, norm=True),
            nn.MaxPool2d(2),
            conv_relu(first, second, 6, same=False, norm=True),
            nn.MaxPool2d(2),
        )
        blocks, channels = [], second
        for i, published in enumerate(BLOCKS):
            block = Inception(channels, tuple(scaled(n, width) for n in published), norm=i < NORMALISED, duplicated=as_published and i == DUPLICATED)
            blocks.append(block)
            channels = block.out_channels
        self.inception1, self.inception2, self.inception3, self.inception4, self.inception5, self.inception6 = blocks
        self.pool = nn.MaxPool2d(2)

        side = pooled(pooled(image_size, 7), 6) // 2 // 2 // 2
        self.summary = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, summary, 1), nn.ReLU())
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(summary * side * side, dense),
            nn.ReLU(),
            Dropout(0.5),
            nn.Linear(dense, dense),
            nn.ReLU(),
            Dropout(0.5),
        )
        self.output = nn.Linear(dense, n_outputs)
        keras_init(self)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = batch_norm_momentum

    def forward_features(self, images: Tensor) -> Tensor:
        """Images (N, 1, 80, 80) to the maps of the sixth block (N, 528, 4, 4)."""
        x = self.stem(images)
        x = self.pool(self.inception2(self.inception1(x)))
        x = self.inception4(self.inception3(x))
        return self.inception6(self.pool(self.inception5(x)))

    def forward_head(self, features: Tensor) -> Tensor:
        """Maps of the sixth block to logits (N, n_outputs)."""
        return self.output(self.dense(self.summary(features)))


@register("deep-clash")
def deep_clash(
    *, in_channels: int, n_outputs: int, image_size: int, as_published: bool = False, width: float = 1.0, batch_norm_momentum: float = 0.01
) -> DeepClash:
    """Build the network of Perez-Carrasco et al. 2019; see `DeepClash`."""
    return DeepClash(
        in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, as_published=as_published, width=width, batch_norm_momentum=batch_norm_momentum
    )
