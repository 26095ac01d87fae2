"""ResNet-18, -34 and -50 with the concat-pool head that Wu & Boada 2019 (MNRAS 484, 4683) put on ResNet-34, or with the plain one.

Bodies: He et al. 2016 (CVPR), with the stride of a bottleneck in its 3x3 convolution. Their tensors bear the names that torchvision and timm use, so that
ImageNet weights in a local safetensors file fit (see `networks.pretrained`).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuningfork.errors import ModelError
from tuningfork.networks.layers import Dropout, ImageNetwork
from tuningfork.networks.registry import register

__all__ = ["ConcatPoolHead", "ResNet"]

HEADS = ("concat_pool", "linear")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = _shortcut(in_channels, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) to (N, planes, h / stride, w / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; four times as many channels come out as the middle has."""

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = _shortcut(in_channels, 4 * planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) to (N, 4 * planes, h / stride, w / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.relu(self.bn3(self.conv3(x)) + shortcut)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels))


class ConcatPoolHead(nn.Module):
    """Mean and maximum of each map, then two dense layers between batch normalisation and dropout (.25 and .5), without output activation."""

    def __init__(self, channels: int, n_outputs: int, *, hidden: int = 512, dropout: tuple[float, float] = (0.25, 0.5)) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm1d(2 * channels)
        self.drop1 = Dropout(dropout[0])
        self.fc1 = nn.Linear(2 * channels, hidden)
        self.bn2 = nn.BatchNorm1d(hidden)
        self.drop2 = Dropout(dropout[1])
        self.fc2 = nn.Linear(hidden, n_outputs)
        for layer in (self.fc1, self.fc2):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Maps (N, channels, h, w) to logits (N, n_outputs)."""
        x = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        x = functional.relu(self.fc1(self.drop1(self.bn1(x))))
        return self.fc2(self.drop2(self.bn2(x)))


class ResNet(ImageNetwork):
    """A residual body and a head; images of any size, down to one pixel.

    Parameters
    ----------
    name : str
        The name in the registry, for messages.
    block : type
        `BasicBlock` or `Bottleneck`.
    depths : tuple of int
        Blocks in each of the four stages.
    in_channels, n_outputs, image_size : int
        `image_size` is only checked; other sizes may be given to `forward`.
    head : {'concat_pool', 'linear'}
        `ConcatPoolHead`, or the mean of each map and one dense layer `fc`, as He et al. have it (and the files of ImageNet weights).
    """

    head_names: ClassVar[tuple[str, ...]] = ("head.", "fc.")
    fixed_size: ClassVar[bool] = False

    def __init__(
        self,
        name: str,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, ...],
        *,
        in_channels: int,
        n_outputs: int,
        image_size: int,
        head: str = "concat_pool",
    ) -> None:
        super().__init__(name, in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, smallest=1)
        if head not in HEADS:
            raise ModelError(f"network '{name}': head must be one of {', '.join(HEADS)}, not {head!r}")
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels, stages = 64, []
        for stage, depth in enumerate(depths):
            planes, blocks = 64 * 2**stage, []
            for i in range(depth):
                blocks.append(block(channels, planes, stride=2 if i == 0 and stage > 0 else 1))
                channels = planes * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        self.head: ConcatPoolHead | None = None
        self.fc: nn.Linear | None = None
        if head == "linear":
            self.fc = nn.Linear(channels, n_outputs)
        else:
            self.head = ConcatPoolHead(channels, n_outputs)

    def forward_features(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to maps (N, 512 or 2048, H/32, W/32)."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(images))), 3, stride=2, padding=1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward_head(self, features: Tensor) -> Tensor:
        """Maps to logits (N, n_outputs)."""
        if self.head is not None:
            return self.head(features)
        assert self.fc is not None
        return self.fc(features.mean(dim=(2, 3)))

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The parameters in the three groups that get learning rates of their own: up to stage 2, stages 3 and 4, head."""
        groups: list[list[nn.Module]] = [[self.conv1, self.bn1, self.layer1, self.layer2], [self.layer3, self.layer4]]
        groups.append([part for part in (self.head, self.fc) if part is not None])
        return [[parameter for module in group for parameter in module.parameters()] for group in groups]


@register("resnet18")
def resnet18(*, in_channels: int, n_outputs: int, image_size: int, head: str = "concat_pool") -> ResNet:
    """Build ResNet-18."""
    return ResNet("resnet18", BasicBlock, (2, 2, 2, 2), in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, head=head)


@register("resnet34")
def resnet34(*, in_channels: int, n_outputs: int, image_size: int, head: str = "concat_pool") -> ResNet:
    """Build ResNet-34, by default as Wu & Boada 2019."""
    return ResNet("resnet34", BasicBlock, (3, 4, 6, 3), in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, head=head)


@register("resnet50")
def resnet50(*, in_channels: int, n_outputs: int, image_size: int, head: str = "concat_pool") -> ResNet:
    """Build ResNet-50."""
    return ResNet("resnet50", Bottleneck, (3, 4, 6, 3), in_channels=in_channels, n_outputs=n_outputs, image_size=image_size, head=head)
