"""Training images per second through our loop (gather, augmentation, step) against the same step fed from a tensor already in memory."""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tuningfork.networks import registry
from tuningfork.training.arrays import ArrayStamps
from tuningfork.training.augmentation import augment
from tuningfork.training.data import make_training_data
from tuningfork.training.device import autocast, choose_device, choose_precision, session
from tuningfork.training.fit import Fit
from tuningfork.training.losses import make_loss
from tuningfork.training.optimisers import make_optimizer
from tuningfork.training.recipe import make_recipe
from tuningfork.training.resume import ResumeFolder

TARGETS = ("p_smooth", "p_features", "p_irregular", "p_point_source", "p_unclassifiable")
RECIPE = {
    "loss": "per_sample_rmse",
    "optimizer": {"name": "adam", "learning_rate": 5e-5},
    "batch_size": 32,
    "augmentation": {"rotation_deg": 360, "flips": True, "shift_fraction": 0.05},
}


def make_fit(width: float, precision: str, device: torch.device, count: int, folder: Path) -> Fit:
    """A training on `count` random 80x80 stamps."""
    rng = np.random.default_rng(0)
    stamps = ArrayStamps(
        np.array([f"o{i}" for i in range(count)]),
        rng.normal(size=(count, 1, 80, 80)).astype(np.float32),
        scalars={"sky": np.zeros(count), "sky_sigma": np.ones(count)},
    )
    fractions = rng.dirichlet(np.ones(5), count)
    split = np.where(np.arange(count) < 8, "validation", "train")
    objects = {"object_id": stamps.object_id, "split": split, **{name: fractions[:, k] for k, name in enumerate(TARGETS)}}
    recipe = make_recipe({**RECIPE, "precision": precision})
    data = make_training_data(stamps, objects, TARGETS, "fractions", recipe.normalisation, device=device, budget_bytes=2**32)
    module = registry.build("deep-clash", in_channels=1, n_outputs=5, image_size=80, seed=0, width=width)
    module = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Fit(module, data, recipe, "fractions", device, precision, 0, ResumeFolder(folder, ""))


def bare_step(fit: Fit) -> Callable[[], None]:
    """The same network, loss and optimiser on one batch that never changes, written as a plain loop would be."""
    module, device = fit.module, fit.device
    images = torch.randn(fit.recipe.batch_size, 1, 80, 80, device=device).contiguous(memory_format=torch.channels_last)
    targets = torch.softmax(torch.randn(fit.recipe.batch_size, 5, device=device), dim=1)
    optimizer, loss_of = make_optimizer(module, fit.recipe), make_loss("per_sample_rmse", "fractions")

    def step() -> None:
        with autocast(device, fit.precision):
            outputs = module(images)
        loss = loss_of(outputs, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    module.train()
    return step


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def compare(width: float, precision: str, device: torch.device, count: int, repeats: int) -> tuple[float, float, float]:
    """(our images/s, bare images/s, augmentation images/s): the best of alternating runs over as many images."""
    with tempfile.TemporaryDirectory() as folder:
        fit = make_fit(width, precision, device, count + 8, Path(folder))
        bare = bare_step(fit)
        steps = count // fit.recipe.batch_size

        def plain() -> None:
            # without our deterministic algorithms: those are part of what is compared
            torch.use_deterministic_algorithms(False)
            for _ in range(steps):
                bare()
            torch.use_deterministic_algorithms(device.type == "cpu")

        runs: dict[str, Callable[[], object]] = {"ours": lambda: fit._train_epoch(1, False), "bare": plain}
        times: dict[str, list[float]] = {name: [] for name in runs}
        for repeat in range(repeats + 1):
            for name, run in runs.items():
                elapsed = seconds_of(run, device)
                if repeat:  # the first one warms up
                    times[name].append(elapsed)
        batch = torch.randn(fit.recipe.batch_size, 1, 80, 80, device=device)
        alone = min(seconds_of(lambda: augment(batch, fit.recipe.augmentation, fit.generator), device) for _ in range(20))
    ours, other = (steps * fit.recipe.batch_size / min(times[name]) for name in ("ours", "bare"))
    return ours, other, fit.recipe.batch_size / alone


def main(arguments: list[str] | None = None) -> None:
    """Print one line for each width and precision; `--quick` takes a few seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args(arguments)
    device = choose_device()
    print(f"training: deep-clash, 80x80, batches of 32, augmented, on {device.type} with {options.threads} thread(s)")
    print(f"{'width':>6} {'precision':>10} {'ours img/s':>11} {'bare img/s':>11} {'ratio':>7} {'augmentation img/s':>19}")
    precisions = ["fp32"] + (["bf16"] if choose_precision("auto", device) == "bf16" else [])
    with session(device, options.threads):
        for width, count, repeats in ((1.0, 64, 1 if options.quick else 3), (0.25, 320, 2 if options.quick else 5)):
            for precision in precisions:
                ours, bare, alone = compare(width, precision, device, count, repeats)
                print(f"{width:6.2f} {precision:>10} {ours:11.1f} {bare:11.1f} {ours / bare:7.1%} {alone:19.0f}", flush=True)


if __name__ == "__main__":
    main()
