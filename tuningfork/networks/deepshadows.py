"""DeepShadows: three small convolution blocks that tell low-surface-brightness galaxies from artefacts.

Tanoglidis, Ciprijanovic & Drlica-Wagner 2021, Astronomy and Computing 35, 100469 (arXiv:2011.12437).
"""

from typing import Any, ClassVar

from torch import Tensor, nn

from tuningfork.networks.layers import Dropout, ImageNetwork, check_width, conv_relu, keras_init, scaled
from tuningfork.networks.registry import register

__all__ = ["DeepShadows", "decay_groups"]

NAME = "deepshadows"
L2_CONVOLUTION = 0.13
L2_DENSE = 0.12


class DeepShadows(ImageNetwork):
    """The network of DeepShadows: 4,220,161 trainable parameters for one output, 4,222,211 for three.

    Parameters
    ----------
    in_channels, n_outputs, image_size : int
        As published: 3, 1 (or 3) and 64. The image needs at least 8 pixels a side.
    width : float
        Multiplies every channel count and the dense layer.
    batch_norm_momentum : float
        Weight of a batch in the running statistics; 0.01 as in Keras. A short training wants more: after 100 batches they still hold a third
        of their first guess.

    Raises
    ------
    ModelError
        Image too small, or a count or width that makes no sense.
    """

    head_names: ClassVar[tuple[str, ...]] = ("output.",)

    def __init__(self, *, in_channels: int = 3, n_outputs: int = 1, image_size: int = 64, width: float = 1.0, batch_norm_momentum: float = 0.01) -> None:
        super().__init__(NAME, in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, smallest=8)
        check_width(NAME, width)
        blocks, before = [], in_channels
        for published in (16, 32, 64):
            channels = scaled(published, width)
            blocks.append(nn.Sequential(conv_relu(before, channels, 3, same=True, norm=True), nn.MaxPool2d(2), Dropout(0.4)))
            before = channels
        self.blocks = nn.Sequential(*blocks)
        dense = scaled(1024, width)
        self.dense = nn.Linear(before * (image_size // 8) ** 2, dense)
        self.relu = nn.ReLU()
        self.output = nn.Linear(dense, n_outputs)
        keras_init(self)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = batch_norm_momentum

    def forward_features(self, images: Tensor) -> Tensor:
        """Images (N, 3, 64, 64) to maps (N, 64, 8, 8)."""
        return self.blocks(images)

    def forward_head(self, features: Tensor) -> Tensor:
        """Maps to logits (N, n_outputs)."""
        return self.output(self.relu(self.dense(features.flatten(1))))


def decay_groups(module: DeepShadows) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser with coupled `weight_decay` that do what the published L2 terms do.

    Keras adds lambda * sum(w^2) to the loss, for kernels only; its gradient 2 * lambda * w is a weight decay of 2 * lambda: 0.26 on the
    three convolutions (lambda = 0.13), 0.24 on the hidden dense layer (0.12), none on biases, batch normalisation and the output.
    """
    convolutions = [layer.weight for layer in module.blocks.modules() if isinstance(layer, nn.Conv2d)]
    dense = [module.dense.weight]
    decayed = {id(parameter) for parameter in convolutions + dense}
    rest = [parameter for parameter in module.parameters() if id(parameter) not in decayed]
    return [
        {"params": convolutions, "weight_decay": 2 * L2_CONVOLUTION},
        {"params": dense, "weight_decay": 2 * L2_DENSE},
        {"params": rest, "weight_decay": 0.0},
    ]


@register("deepshadows")
def deepshadows(*, in_channels: int, n_outputs: int, image_size: int, width: float = 1.0, batch_norm_momentum: float = 0.01) -> DeepShadows:
    """Build the network of Tanoglidis et al. 2021; see `DeepShadows`."""
    return DeepShadows(in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, width=width, batch_norm_momentum=batch_norm_momentum)
