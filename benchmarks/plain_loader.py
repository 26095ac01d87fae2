"""The plain way to train, to compare with: a DataLoader with workers over one file an image, single precision, NCHW, augmentation image by image."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from synthetic import CLASSES, Job, pictures
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from tuningfork.networks import registry


class Files(Dataset[tuple[Tensor, int]]):
    """One .npy file an image, each transformed by its own draw when it is read."""

    def __init__(self, folder: Path, job: Job) -> None:
        self.paths = [folder / f"{i}.npy" for i in range(job.images)]
        for path, image in zip(self.paths, pictures(job, job.images).pixels, strict=True):
            np.save(path, image)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(np.load(self.paths[index])).float() / 255
        angle, flip = float(torch.rand(())) * 2 * math.pi, 1.0 if torch.rand(()) < 0.5 else -1.0
        cos, sin = math.cos(angle), math.sin(angle)
        shift = (torch.rand(2) - 0.5) * 0.2
        theta = torch.tensor([[cos * flip, -sin, float(shift[0])], [sin * flip, cos, float(shift[1])]])
        grid = functional.affine_grid(theta[None], [1, *image.shape], align_corners=False)
        return functional.grid_sample(image[None], grid, padding_mode="border", align_corners=False)[0], index % 2


def with_torch_dropout(module: nn.Module) -> nn.Module:
    """The network with torch's own dropout layers."""
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Dropout):
                setattr(parent, name, nn.Dropout(layer.p))
    return module


def plain_epoch(folder: Path, job: Job, device: torch.device, workers: int) -> Callable[[], None]:
    """One epoch of such a training; its workers live on from epoch to epoch."""
    module = registry.build(job.network, in_channels=job.channels, n_outputs=len(CLASSES), image_size=job.side, seed=0)
    module = with_torch_dropout(module).to(device).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-4)
    loader = DataLoader(Files(folder, job), job.batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0, pin_memory=device.type == "cuda")

    def epoch() -> None:
        for images, labels in loader:
            outputs = module(images.to(device, non_blocking=True))
            loss = functional.cross_entropy(outputs, labels.to(device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch
