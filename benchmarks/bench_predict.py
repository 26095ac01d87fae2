"""Predicted stamps per second over training's images per second, and the memory of a prediction as the number of stamps grows."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from synthetic import CLASSES, Job, by_turns, make_fit, pictures

from tuningfork.inference.load import Model
from tuningfork.inference.predict import predict
from tuningfork.networks import registry
from tuningfork.training.device import choose_device, choose_precision, session


@dataclass
class Endless:
    """As many stamps as are wanted, cut from one block of random pixels: nothing but what a prediction takes itself grows with their number."""

    count: int
    shape: tuple[int, ...]
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.uint8))
    scalars: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.block = np.random.default_rng(0).integers(0, 256, (4096, *self.shape), dtype=np.uint8)
        self.object_id = np.arange(self.count).astype(str)
        self.status = np.full(self.count, "ok")

    def __len__(self) -> int:
        return self.count

    def index_of(self, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """Row numbers: the ids are these."""
        return np.asarray(ids).astype(np.int64)

    def take(self, indices: Sequence[int] | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Copies of rows of the block."""
        return np.take(self.block, np.asarray(indices) % len(self.block), axis=0, out=out)


def make_model(job: Job, device: torch.device, **options: float) -> Model:
    """A network with its first weights, as a trained model."""
    network = registry.build(job.network, in_channels=job.channels, n_outputs=len(CLASSES), image_size=job.side, seed=0, **options)
    network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Model(job.network, network, {"name": "unit"}, CLASSES, "classes", None, None, job.channels, job.side, device, {"pixel_type": "uint8"})


def speed(job: Job, device: torch.device, repeats: int) -> None:
    """Print stamps/s with one view and with eight, in fp32 (as published numbers are made), against training as the machine does it."""
    model, precision = make_model(job, device), choose_precision("auto", device)
    stamps = pictures(job, job.images)
    with tempfile.TemporaryDirectory() as folder:
        fit = make_fit(job, precision, device, Path(folder))
        threads = torch.get_num_threads()
        few = stamps.object_id[: job.images // 4]
        runs = {
            "training": lambda: fit._train_epoch(1, False),
            "one": lambda: predict(model, stamps, tta=False, threads=threads, progress=False),
            "eight": lambda: predict(model, stamps, few, threads=threads, progress=False),
            "eight_fast": lambda: predict(model, stamps, few, threads=threads, progress=False, precision=precision),
        }
        seconds = by_turns(runs, device, repeats)
    trained = job.images // job.batch * job.batch / seconds["training"]
    one, eight, fast = job.images / seconds["one"], len(few) / seconds["eight"], len(few) / seconds["eight_fast"]
    print(f"{job.title:<18} {trained:14.0f} {one:12.0f} {one / trained:7.2f}x {eight:12.0f} {8 * eight / trained:8.2f}x {fast:12.0f} ({precision})", flush=True)


def own_memory() -> int:
    """Bytes of this process that are no file's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def memory_of(count: int) -> None:
    """Predict `count` small stamps and print, as JSON, the memory before, the most while it ran, and the seconds."""
    job = Job("deepshadows", 8, 64, 0)
    model, stamps = make_model(job, torch.device("cpu"), width=0.05), Endless(count, (3, 8, 8))
    predict(model, stamps, stamps.object_id[:4096], tta=False, threads=1, batch_size=1024, progress=False)
    before, most, taken = own_memory(), 0, stamps.take

    def watched(indices: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        nonlocal most
        most = max(most, own_memory())
        return taken(indices, out)

    stamps.take = watched  # type: ignore[method-assign]
    start = time.perf_counter()
    predict(model, stamps, tta=False, threads=1, batch_size=1024, progress=False)
    print(json.dumps({"before": before, "most": most, "seconds": time.perf_counter() - start}))


def main(arguments: list[str] | None = None) -> None:
    """Print both tables; `--quick` takes a few seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.memory_of:
        memory_of(options.memory_of)
        return
    device = choose_device()
    print(f"prediction on {device.type}, {options.threads} thread(s)")
    print(f"{'network':<18} {'training img/s':>14} {'one view /s':>12} {'ratio':>8} {'8 views /s':>12} {'8x ratio':>9} {'8 views fast':>12}")
    few = 2 if options.quick else 1
    with session(device, options.threads):
        for job in (Job("deepshadows", 64, 64, 512 // few), Job("resnet18", 128, 32, 96 // few)):
            speed(job, device, 1 if options.quick else 3)
    print(f"\nmemory of a prediction beside its files\n{'stamps':>10} {'before MB':>10} {'most MB':>9} {'bytes/stamp':>12} {'seconds':>8}")
    for count in (10_000, 100_000) if options.quick else (10_000, 100_000, 1_000_000):
        command = [sys.executable, __file__, "--memory-of", str(count)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}).stdout)
        grown = (found["most"] - found["before"]) / count
        print(f"{count:10,} {found['before'] / 1e6:10.0f} {found['most'] / 1e6:9.0f} {grown:12.0f} {found['seconds']:8.1f}", flush=True)


if __name__ == "__main__":
    main()
