"""What the benchmarks of training and prediction share: random stamps, trainings of the published networks on them, and timing by turns."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tuningfork.networks import registry
from tuningfork.training.arrays import ArrayStamps
from tuningfork.training.data import make_training_data
from tuningfork.training.device import autocast
from tuningfork.training.fit import Fit
from tuningfork.training.losses import make_loss
from tuningfork.training.optimisers import make_optimizer
from tuningfork.training.recipe import make_recipe
from tuningfork.training.resume import ResumeFolder

CLASSES = ("a", "b")
AFFINE = {"rotation_deg": 360, "flips": True, "shift_fraction": 0.05}


@dataclass(frozen=True)
class Job:
    """One network on pictures of one size."""

    network: str
    side: int
    batch: int
    images: int
    channels: int = 3

    @property
    def title(self) -> str:
        """For the first column of a table."""
        return f"{self.network} {self.side}px"


def pictures(job: Job, count: int) -> ArrayStamps:
    """`count` random 8-bit pictures."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, job.channels, job.side, job.side), dtype=np.uint8)
    return ArrayStamps(np.array([f"o{i}" for i in range(count)]), pixels)


def make_fit(job: Job, precision: str, device: torch.device, folder: Path, *, placement: str = "auto", augmentation: Mapping[str, Any] = AFFINE) -> Fit:
    """A training of `job.images` random pictures, as the rule would make it."""
    stamps = pictures(job, job.images + 8)
    split = np.where(np.arange(len(stamps)) < 8, "validation", "train")
    objects = {"object_id": stamps.object_id, "split": split, "label": np.array(CLASSES)[np.arange(len(stamps)) % 2]}
    recipe = make_recipe(
        {
            "loss": "cross_entropy",
            "optimizer": {"name": "adam", "learning_rate": 1e-4},
            "batch_size": job.batch,
            "augmentation": dict(augmentation),
            "normalisation": {"name": "unit"},
            "precision": precision,
        }
    )
    data = make_training_data(stamps, objects, CLASSES, "classes", recipe.normalisation, device=device, budget_bytes=2**36, placement=placement)
    module = registry.build(job.network, in_channels=job.channels, n_outputs=len(CLASSES), image_size=job.side, seed=0)
    module = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Fit(module, data, recipe, "classes", device, precision, 0, ResumeFolder(folder, ""))


def bare_step(job: Job, precision: str, device: torch.device, compiled: bool = False) -> Callable[[], None]:
    """The same network, loss and optimiser on one batch in memory that never changes: what the machine can do without data."""
    module = registry.build(job.network, in_channels=job.channels, n_outputs=len(CLASSES), image_size=job.side, seed=0)
    module = module.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    called: Any = torch.compile(module, mode="reduce-overhead") if compiled else module
    images = torch.rand(job.batch, job.channels, job.side, job.side, device=device).contiguous(memory_format=torch.channels_last)
    targets = nn.functional.one_hot(torch.arange(job.batch) % 2, 2).float().to(device)
    recipe = make_recipe({"loss": "cross_entropy", "optimizer": {"name": "adam", "learning_rate": 1e-4}})
    optimizer, loss_of = make_optimizer(module, recipe), make_loss("cross_entropy", "classes")

    def step() -> None:
        with autocast(device, precision):
            outputs = called(images)
        loss = loss_of(outputs, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def by_turns(runs: Mapping[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, float]:
    """Seconds of the best of `repeats` calls of each, taken in turns after one call to warm up: what else the machine does hits all alike."""
    best = dict.fromkeys(runs, float("inf"))
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if repeat:
                best[name] = min(best[name], time.perf_counter() - start)
    return best
