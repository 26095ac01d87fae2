"""A small sample with a signal: round sources whose size decides three fractions, in noise, in a real stamp store."""

from pathlib import Path

import numpy as np
from torch import nn

from tuningfork.stamps.store import StampSet, StampShard, write_shard

TARGETS = ("p_small", "p_middle", "p_large")
NETWORK = {"name": "deep-clash", "options": {"width": 0.05}}
SIDE = 48
RECIPE = {
    "loss": "per_sample_rmse",
    "optimizer": {"name": "adam", "learning_rate": 3e-3},
    "batch_size": 16,
    "epochs": 3,
    "patience": 0,
    "augmentation": {"rotation_deg": 360, "flips": True, "shift_fraction": 0.05},
    "normalisation": {"name": "asinh_sky", "softening_sigma": 3.0, "clip_percentile": 99.5},
    "precision": "fp32",
}


def make_objects(n: int = 48, seed: int = 0) -> tuple[StampShard, dict[str, np.ndarray]]:
    """Stamps, and columns object_id, split, three fractions, `label` (class name) and `size`."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0, 1, n)
    sigma = 1.5 + 6 * size
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    source = np.exp(-(x**2 + y**2) / (2 * sigma[:, None, None] ** 2))
    sky, noise = rng.normal(3, 0.5, n), rng.uniform(0.5, 2, n)
    pixels = sky[:, None, None] + noise[:, None, None] * (30 * source + rng.normal(0, 1, (n, SIDE, SIDE)))
    fractions = np.stack([np.clip(1 - 2 * size, 0, 1), 1 - np.abs(2 * size - 1), np.clip(2 * size - 1, 0, 1)], axis=1)
    ids = np.array([f"toy_f160w_{i:03d}" for i in range(n)])
    shard = StampShard(ids, np.full(n, "ok", dtype="U32"), np.full(n, ""), pixels[:, None].astype(np.float32), {"sky": sky, "sky_sigma": noise})
    split = np.where(np.arange(n) % 3 == 2, "validation", "train")
    objects = {"object_id": ids, "split": split, "size": size, "label": np.array(TARGETS)[fractions.argmax(axis=1)]}
    return shard, objects | {name: fractions[:, k] for k, name in enumerate(TARGETS)}


def make_store(folder: Path, n: int = 48, seed: int = 0) -> tuple[StampSet, dict[str, np.ndarray]]:
    """The same, written to disk as two shards and opened again."""
    shard, objects = make_objects(n, seed)
    paths = [folder / "a0.arrow", folder / "b1.arrow"]
    for path, part in zip(paths, (slice(0, n // 3), slice(n // 3, n)), strict=True):
        scalars = {name: values[part] for name, values in shard.scalars.items()}
        write_shard(path, StampShard(shard.object_id[part], shard.status[part], shard.reason[part], shard.pixels[part], scalars))
    return StampSet(paths), objects


def toy_learner(*, in_channels: int, n_outputs: int, image_size: int) -> nn.Module:
    """A network without dropout or batch normalisation, which learns in seconds."""
    layers = [nn.AvgPool2d(2), nn.Conv2d(in_channels, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    side = ((image_size // 2 - 4) // 2 - 2) // 2
    return nn.Sequential(*layers, nn.Linear(16 * side**2, 32), nn.ReLU(), nn.Linear(32, n_outputs))
