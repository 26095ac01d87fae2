"""Galaxy10: five plain convolutions for the two-class and ten-class pictures of Galaxy10 DECaLS.

The network of mlr7's "Computer Vision for Astronomy: Galaxy Morphology" (2023), on the data of henrysky's Galaxy10.
"""

from typing import ClassVar

from torch import Tensor, nn

from tuningfork.networks.layers import Dropout, ImageNetwork, check_width, keras_init, pooled, scaled
from tuningfork.networks.registry import register

__all__ = ["Galaxy10"]

NAME = "galaxy10"

SMALLEST = 78
"""Side (pixels) below which the fifth convolution has nothing left."""


class Galaxy10(ImageNetwork):
    """Four convolutions 3x3 with maximum pooling, a fifth without, one dense layer: 1,015,361 trainable parameters as published.

    Parameters
    ----------
    in_channels, n_outputs, image_size : int
        As published: 3, 1 and 256. The image needs at least 78 pixels a side.
    width : float
        Multiplies every channel count.

    Raises
    ------
    ModelError
        Image too small, or a count or width that makes no sense.
    """

    head_names: ClassVar[tuple[str, ...]] = ("output.",)

    def __init__(self, *, in_channels: int = 3, n_outputs: int = 1, image_size: int = 256, width: float = 1.0) -> None:
        super().__init__(NAME, in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, smallest=SMALLEST)
        check_width(NAME, width)
        layers: list[nn.Module] = []
        before, side = in_channels, image_size
        for published in (32, 64, 128, 256):
            channels = scaled(published, width)
            layers += [nn.Conv2d(before, channels, 3), nn.ReLU(), nn.MaxPool2d(2)]
            before, side = channels, pooled(side, 3)
        layers += [nn.Conv2d(before, before, 3), nn.ReLU()]
        side -= 2
        self.features = nn.Sequential(*layers)
        self.dropout = Dropout(0.5)
        self.output = nn.Linear(before * side * side, n_outputs)
        keras_init(self)

    def forward_features(self, images: Tensor) -> Tensor:
        """Images (N, 3, 256, 256) to maps (N, 256, 12, 12)."""
        return self.features(images)

    def forward_head(self, features: Tensor) -> Tensor:
        """Maps to logits (N, n_outputs)."""
        return self.output(self.dropout(features.flatten(1)))


@register("galaxy10")
def galaxy10(*, in_channels: int, n_outputs: int, image_size: int, width: float = 1.0) -> Galaxy10:
    """Build the network of the Galaxy10 study; see `Galaxy10`."""
    return Galaxy10(in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, width=width)
